"""The limits of CONVERSATION and of sentinel: a call is admitted, or answered with 429 at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from simulator import answers
from simulator.calls import Answer
from simulator.endpoints import CONVERSATION, SENTINEL
from simulator.state import Account, State

TOKEN_BURST = 1


@contextmanager
def admission(
    state: State, account: Account | None, name: str, *, at: float
) -> Iterator[Answer | None]:
    """Yield the refusal of a call, if any; a CONVERSATION is in flight until the block ends.

    A refused call also counts as in flight for that moment, so that the peak shows what callers did
    and not what they were allowed.
    """
    if account is None or name not in {CONVERSATION, SENTINEL}:
        yield None
        return
    limits = state.limits_of(account)
    if name == SENTINEL:
        admitted = account.token_bucket.take(at, rate=limits.token_rate, burst=TOKEN_BURST)
        yield None if admitted else answers.too_many_requests(limits.retry_after)
        return
    # Kept in a variable: after a reset meanwhile, the new counts must not be decreased.
    gauges = (state.in_flight, account.counters.in_flight)
    for gauge in gauges:
        gauge.enter()
    try:
        free = limits.max_concurrent is None or gauges[1].value <= limits.max_concurrent
        admitted = free and account.conversation_bucket.take(
            at, rate=limits.rate, burst=limits.burst
        )
        yield None if admitted else answers.too_many_requests(limits.retry_after)
    finally:
        for gauge in gauges:
            gauge.leave()
