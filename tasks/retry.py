"""What to do after an answer: a pure function of the answer and of the attempts before it.

LivePerson's policy (page retry-policy-recommendations): 4xx are not retried, but 429 after at least
a second and 401 after a new token; 5xx are retried after 5, 10 and 15 s, then ever more slowly.
What is refused to the whole account says nothing of the job, which waits while the account is held;
nor does what fails while one job tries for all. What may have been sent is repeated for the same
consumer only, since an open conversation then keeps LivePerson from opening a second one. Once it
is known to have opened one, nothing is sent any more: the conversation is only looked for, by
Monitoring's own schedule (page Engagement).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from tasks.liveperson.answer import MAX_RETRY_AFTER_SECONDS, OF_THE_ACCOUNT, Answer, Kind
from tasks.messages.result import Attempt, ErrorCode

# Attempts that use up a place in the schedule; 429 and 401 do not.
FAILURES: Final = frozenset({Kind.UNKNOWN, Kind.NOT_SENT, Kind.ALREADY_OPEN})
# What stands in a job's history where an operator enqueued it again.
REPLAYED: Final = "replayed"
# What stands there where a conversation was looked for, and nothing could be told. While it stands
# last, the job is looked for again and not sent (tasks/store/lua/begin.lua).
UNRESOLVED: Final = "unresolved"
# The longest pause of a job that is refused with 429 again and again, in seconds.
MAX_THROTTLED_SECONDS: Final = 60.0
# LivePerson's pauses for the Monitoring API (page Engagement), in seconds.
MONITORING_SCHEDULE: Final = (3.0, 10.0, 30.0, 90.0)
# Pauses before a repeat with a new token, in seconds. A ConsumerJWS that is refused after each of
# them was refused fresh three times. Of the AppJWT two will do: then the account is held.
TOKEN_PAUSES: Final = (0.5, 1.0, 2.0)
APP_REPEATS: Final = 2
# How many pauses of the schedule a job waits that seems to be refused alone, where LivePerson may
# mean the account.
ALONE_REPEATS: Final = 3
NOT_SERVED_REPEATS: Final = 2
# Notes of the ledger on an attempt: which token was refused, that this job was refused alone, and
# that it tried for all. Such a try uses up no retry.
APP, CONSUMER, ALONE, PROBE = "app", "consumer", "alone", "probe"
# What stands between two refusals of a token and ends no row of them.
_IN_A_ROW: Final = frozenset({Kind.UNAUTHORIZED, Kind.CREDENTIALS, Kind.THROTTLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The pauses before each repeat, in seconds, and whether an unknown outcome is repeated."""

    schedule: tuple[float, ...]
    repeat_unknown: bool = True

    @property
    def monitoring(self) -> tuple[float, ...]:
        """The pauses of the Monitoring API, none longer than the longest of the schedule."""
        return self._capped(MONITORING_SCHEDULE)

    @property
    def tokens(self) -> tuple[float, ...]:
        """The pauses before a repeat with a new token, none longer than the longest either."""
        return self._capped(TOKEN_PAUSES)

    def _capped(self, pauses: Sequence[float]) -> tuple[float, ...]:
        longest = max(self.schedule, default=0.0)
        return tuple(min(pause, longest) for pause in pauses)


@dataclass(frozen=True, slots=True)
class Created:
    """The answer holds the conversation's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again after so many seconds, with a new token where one is named stale.

    After a look-up that told nothing, only the look-up is `unresolved` and made again. `note` is
    kept with the attempt.
    """

    after: float
    renew: Literal["app", "consumer"] | None = None
    unresolved: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Throttled:
    """The job waits for its next turn and loses no retry; the limiter decides about the pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The account is held; the job waits for it and loses no retry. `note` is the attempt's."""

    renew: Literal["app"] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Ask the Monitoring API for the consumer's open conversation.

    Found, it is `found`; one that another job opened leads to `of_another`, if that matters.
    Without one the job goes `otherwise`; where it cannot be asked, `unaskable`.
    """

    found: Literal["created", "reused"]
    otherwise: Again | Fail
    unaskable: Again | Fail
    of_another: Fail | LookUp | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Give the job up with this error code."""

    code: ErrorCode


Decision = Created | Again | Throttled | Hold | LookUp | Fail


def decide(
    answer: Answer,
    history: Sequence[Attempt],
    *,
    policy: Policy,
    reuse: bool = False,
    alone: bool = False,
    probing: bool = False,
) -> Decision:
    """Say what follows from an answer, given the attempts before it.

    `reuse` tells that the job takes an open conversation's id for a result; `alone` that others of
    the account were accepted since this job was refused; `probing` that it tries for all of them.
    """
    is_repeatable = policy.repeat_unknown or answer.kind is not Kind.UNKNOWN
    if probing and answer.kind in OF_THE_ACCOUNT - {Kind.CREDENTIALS} and is_repeatable:
        return Hold(note=PROBE)
    match answer.kind:
        case Kind.CREATED:
            return Created()
        case Kind.THROTTLED:
            return Throttled()
        case Kind.UNAUTHORIZED | Kind.CREDENTIALS | Kind.NOT_SERVED:
            return _refused(answer, history, policy, alone=alone)
        case Kind.REJECTED:
            return conclude("rejected", history, policy=policy)
        case Kind.NOT_SENT | Kind.NOT_ENGAGED:
            pause = _pause(answer, history, policy)
            if pause is not None and answer.stale_token is not None:
                pause = replace(pause, renew=answer.stale_token)
            return pause or conclude("retries_exhausted", history, policy=policy)
        case Kind.ALREADY_OPEN:
            return _already_open(history, policy, reuse=reuse)
        case Kind.UNKNOWN:
            pause = _pause(answer, history, policy) if policy.repeat_unknown else None
            return pause or _look_first(_given_up(policy), history, policy)


def throttled_pause(history: Sequence[Attempt]) -> float:
    """Return how long a job waits after its latest 429, in seconds: LivePerson asks for a second.

    It doubles while nothing but 429 comes, for a limit that is its consumer's own or very low.
    """
    row = 0
    for attempt in reversed(history):
        if attempt.outcome != Kind.THROTTLED:
            break
        row += 1
    return min(2.0 ** min(row - 1, 10), MAX_THROTTLED_SECONDS)


def conclude(code: ErrorCode, history: Sequence[Attempt], *, policy: Policy) -> Fail | LookUp:
    """Give a job up; where an attempt may have opened a conversation, look for it first."""
    return _look_first(code, history, policy) if _is_unknown(history) else Fail(code)


def is_unresolved(history: Sequence[Attempt]) -> bool:
    """Tell whether a conversation is to be looked for, and nothing to be sent."""
    return bool(history) and history[-1].outcome == UNRESOLVED


def look_again(history: Sequence[Attempt], *, policy: Policy, reuse: bool) -> Decision:
    """Say how an unresolved job goes on."""
    if _is_ours(history):
        return _already_open(history, policy, reuse=reuse)
    return _look_first(_given_up(policy), history, policy)


def _refused(
    answer: Answer, history: Sequence[Attempt], policy: Policy, *, alone: bool
) -> Decision:
    """Decide about a job that may be refused alone, or with all of its account's."""
    if answer.kind is Kind.NOT_SERVED:
        return _not_served(history, policy, alone=alone)
    if answer.kind is Kind.CREDENTIALS:
        return _account_refused(history, policy, alone=alone)
    if answer.stale_token == CONSUMER:
        return _consumer_refused(history, policy)
    return _app_refused(history, policy, alone=alone)


def _consumer_refused(history: Sequence[Attempt], policy: Policy) -> Decision:
    """Renew a ConsumerJWS; if fresh ones are refused too, that says something of its consumer."""
    row = 0
    for attempt in reversed(history):
        if attempt.outcome != Kind.THROTTLED:
            if attempt.outcome != Kind.UNAUTHORIZED or attempt.note != CONSUMER:
                break
            row += 1
    if row < len(policy.tokens):
        return Again(after=policy.tokens[row], renew="consumer", note=CONSUMER)
    return conclude("unauthorized", history, policy=policy)


def _app_refused(history: Sequence[Attempt], policy: Policy, *, alone: bool) -> Decision:
    """Renew an AppJWT; if fresh ones are refused too, that says something of the account."""
    row = 0
    for attempt in reversed(history):
        if attempt.outcome not in _IN_A_ROW:
            break
        row += attempt.outcome == Kind.CREDENTIALS or attempt.note in {APP, ALONE}
    if row < APP_REPEATS:
        return Again(after=policy.tokens[row], renew="app", note=APP)
    return _account_refused(history, policy, alone=alone, renew="app")


def _account_refused(
    history: Sequence[Attempt],
    policy: Policy,
    *,
    alone: bool,
    renew: Literal["app"] | None = None,
) -> Decision:
    """Hold the account; but if this job `alone` is refused, it is not the account."""
    if not alone:
        return Hold(renew=renew)
    used = _used(history, lambda attempt: attempt.note == ALONE)
    if used < min(ALONE_REPEATS, len(policy.schedule)):
        return Again(after=policy.schedule[used], renew=renew, note=ALONE)
    return conclude("unauthorized", history, policy=policy)


def _not_served(history: Sequence[Attempt], policy: Policy, *, alone: bool) -> Decision:
    """Repeat what LivePerson may refuse to all: that shows when others are accepted."""
    pause = _next(history, policy.schedule[:NOT_SERVED_REPEATS], {Kind.NOT_SERVED})
    refused_before = any(attempt.outcome == Kind.NOT_SERVED for attempt in history)
    if pause is None or (alone and refused_before):
        return conclude("rejected", history, policy=policy)
    return pause


def _already_open(history: Sequence[Attempt], policy: Policy, *, reuse: bool) -> Decision:
    closed = _next(history, policy.schedule, FAILURES) or Fail("already_open")
    # None found means that it was closed meanwhile, so that a repeat can open one.
    taken: Fail | LookUp = (
        LookUp(found="reused", otherwise=closed, unaskable=closed)
        if reuse
        else Fail("already_open")
    )
    if not _is_unknown(history):
        return taken
    # After an attempt of unknown fate the open conversation is ours, unless it is known whose. Sent
    # again once it is closed, the job would open a second one.
    later = _look_later(history, policy)
    return LookUp(found="created", otherwise=later, unaskable=later, of_another=taken)


def _is_unknown(history: Sequence[Attempt]) -> bool:
    """Tell whether an attempt may have opened a conversation."""
    return any(attempt.outcome == Kind.UNKNOWN for attempt in history)


def _is_ours(history: Sequence[Attempt]) -> bool:
    """Tell whether an attempt of unknown fate is known to have opened a conversation."""
    return any(
        attempt.outcome == Kind.ALREADY_OPEN and _is_unknown(history[:place])
        for place, attempt in enumerate(history)
    )


def _given_up(policy: Policy) -> ErrorCode:
    """Return what a job ends as that is not sent again after an attempt of unknown fate."""
    return "retries_exhausted" if policy.repeat_unknown else "in_doubt"


def _look_first(code: ErrorCode, history: Sequence[Attempt], policy: Policy) -> LookUp:
    given_up, later = Fail(code), _look_later(history, policy)
    # Of a conversation that was there once, "none is open" says nothing.
    otherwise = later if _is_ours(history) else given_up
    return LookUp(found="created", otherwise=otherwise, unaskable=later, of_another=given_up)


def _look_later(history: Sequence[Attempt], policy: Policy) -> Again | Fail:
    again = _next(history, policy.monitoring, {UNRESOLVED})
    return replace(again, unresolved=True) if again else Fail("in_doubt")


def _pause(answer: Answer, history: Sequence[Attempt], policy: Policy) -> Again | None:
    """Return the next pause of the schedule, or the longer one that the server asks for."""
    again = (
        _next(history, policy.monitoring, {Kind.NOT_ENGAGED})
        if answer.kind is Kind.NOT_ENGAGED
        else _next(history, policy.schedule, FAILURES)
    )
    asked = min(answer.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)
    return replace(again, after=max(again.after, asked)) if again else None


def _next(
    history: Sequence[Attempt], schedule: Sequence[float], counted: Collection[str]
) -> Again | None:
    used = _used(history, lambda attempt: attempt.outcome in counted and attempt.note != PROBE)
    return Again(after=schedule[used]) if used < len(schedule) else None


def _used(history: Sequence[Attempt], counts: Callable[[Attempt], bool]) -> int:
    """Count attempts; an operator's replay begins anew, but what was unknown before it stays so."""
    used = 0
    for attempt in history:
        used = 0 if attempt.outcome == REPLAYED else used + counts(attempt)
    return used
