"""The steps of every call: limits, fault, latency, endpoint, count, answer.

The order decides what a fault means: before the endpoint nothing has happened at LivePerson, after
it the call has taken effect. Once read, a call runs to its end even if the caller hangs up, as on a
remote server.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from simulator import answers, disturbance, wire
from simulator.admission import admission
from simulator.authentication import consumer_named
from simulator.calls import Answer, Call, Refused
from simulator.faults import Fault, fault_name
from simulator.state import State

Endpoint = Callable[[State, Call], Answer]

NO_ANSWER = "no_answer"
"""Counted in the place of a status: the answer was lost on purpose."""
CUT_SHORT = "cut_short"
"""Counted in the place of a status: the caller hung up before the request was whole."""

_NOBODY_LISTENS = Answer(400, b"")
_SILENT = frozenset({Fault.RESET, Fault.LOST_ANSWER, Fault.WITHHELD_ANSWER})


def serve(
    state: State, name: str, endpoint: Endpoint
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the web handler of one endpoint, whose calls are counted under `name`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        account = state.find(request.match_info.get("account_id", ""))
        counters = account.counters if account else state.unknown
        at = time.time()
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            counters.count_call(name, "413", at=at)
            return wire.response_of(answers.BODY_TOO_LARGE)
        except OSError:
            counters.count_call(name, CUT_SHORT, at=at)
            return wire.response_of(_NOBODY_LISTENS)
        call = Call(request.match_info, request.query, request.headers, body, at)
        with admission(state, account, name, at=at) as refusal:
            if refusal:
                counters.count_call(name, "429", at=at)
                return wire.response_of(refusal)
            fault = state.faults.choose(name, consumer_named(call))
            if fault:
                counters.faults[fault_name(name, fault)] += 1
            await _be_slow(state)
            answer = _decide(state, call, endpoint, fault=fault)
            status = NO_ANSWER if fault in _SILENT else str(answer.status)
            counters.count_call(name, status, at=at)
            if wire.has_hung_up(request):
                counters.hung_up += 1
            return await wire.send(request, answer, fault)

    return handle


async def _be_slow(state: State) -> None:
    latency = state.latency
    seconds = latency.mean + latency.jitter * state.rng.uniform(-1, 1)
    if seconds > 0:
        await asyncio.sleep(seconds)


def _decide(state: State, call: Call, endpoint: Endpoint, *, fault: Fault | None) -> Answer:
    """Let the endpoint answer, unless the fault comes before it; then do what comes after."""
    answer = disturbance.instead(fault, state, call)
    if answer is not None:
        return answer
    try:
        answer = endpoint(state, call)
    except Refused as refused:
        answer = refused.answer
    return disturbance.afterwards(fault, answer, state.rng)
