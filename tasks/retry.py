"""What to do after an answer: a pure function of the answer and of the attempts before it.

LivePerson's policy (page retry-policy-recommendations): 4xx are not retried, except 429 after at
least a second and 401 with a new token; 5xx are retried after 5, 10 and 15 s, then ever more
slowly. If the whole account is refused, its jobs wait while it is held, and lose no retry; one job
at a time tests it, and that loses no retry either. A request of unknown fate is repeated for the
same consumer only: LivePerson opens no second conversation while one is open. Once such a request
is known to have opened one, nothing is sent again: the conversation is only looked up, by
Monitoring's own schedule (page Engagement).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from tasks.liveperson.answer import MAX_RETRY_AFTER_SECONDS, OF_THE_ACCOUNT, Answer, Kind
from tasks.messages.attempt import REPLAYED, UNRESOLVED, Attempt
from tasks.messages.dead_letter import ErrorCode

# Attempts that use up a retry of the schedule; 429 and 401 do not.
FAILURES: Final = frozenset({Kind.UNKNOWN, Kind.NOT_SENT, Kind.ALREADY_OPEN})
# The longest retry delay of a job that gets nothing but 429.
MAX_THROTTLED_SECONDS: Final = 60.0
# LivePerson's retry delays for the Monitoring API (page Engagement).
MONITORING_SCHEDULE: Final = (3.0, 10.0, 30.0, 90.0)
# Delays before a repeat with a new token. A new ConsumerJWS may be refused three times; after two
# refused AppJWTs the account is held.
TOKEN_PAUSES: Final = (0.5, 1.0, 2.0)
APP_REPEATS: Final = 2
# How many retries a job has that seems to be refused alone, although the answer may mean the
# account.
ALONE_REPEATS: Final = 3
NOT_SERVED_REPEATS: Final = 2
# Notes on an attempt in the ledger: which token was refused, that the job was refused alone, and
# that it tested a held account. A test uses up no retry.
APP, CONSUMER, ALONE, PROBE = "app", "consumer", "alone", "probe"
# Attempts that do not end a row of refused tokens.
_IN_A_ROW: Final = frozenset({Kind.UNAUTHORIZED, Kind.CREDENTIALS, Kind.THROTTLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The retry delays in seconds, and whether a request of unknown fate is repeated."""

    schedule: tuple[float, ...]
    repeat_unknown: bool = True

    @property
    def monitoring(self) -> tuple[float, ...]:
        """The delays for the Monitoring API, none longer than the longest of the schedule."""
        return self._capped(MONITORING_SCHEDULE)

    @property
    def tokens(self) -> tuple[float, ...]:
        """The delays before a repeat with a new token, limited likewise."""
        return self._capped(TOKEN_PAUSES)

    def _capped(self, pauses: Sequence[float]) -> tuple[float, ...]:
        longest = max(self.schedule, default=0.0)
        return tuple(min(pause, longest) for pause in pauses)


@dataclass(frozen=True, slots=True)
class Created:
    """The answer has the conversation's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Retry after `after` seconds, with a new token if `renew` names one.

    With `unresolved`, only the look-up is repeated. `note` is kept with the attempt.
    """

    after: float
    renew: Literal["app", "consumer"] | None = None
    unresolved: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Put the job off after a 429; it loses no retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Hold the account; the job waits and loses no retry. `note` is kept with the attempt."""

    renew: Literal["app"] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Look up the consumer's open conversation in the Monitoring API.

    If there is one, the job's status is `found`; if another job opened it, `of_another` follows
    (None: it does not matter). If there is none, `otherwise` follows, and `unaskable` if the
    look-up fails.
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
    """Decide what follows from an answer, given the attempts before it.

    `reuse`: an open conversation's id is a result for the job. `alone`: other jobs of the account
    were accepted since this one was refused. `probing`: the job tests a held account.
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
    """Return how long a job waits after its latest 429: a second at least, as LivePerson asks.

    It doubles with each 429 in a row: the limit may be very low, or the consumer's own.
    """
    row = 0
    for attempt in reversed(history):
        if attempt.outcome != Kind.THROTTLED:
            break
        row += 1
    return min(2.0 ** min(row - 1, 10), MAX_THROTTLED_SECONDS)


def conclude(code: ErrorCode, history: Sequence[Attempt], *, policy: Policy) -> Fail | LookUp:
    """Give a job up, after a look-up if an attempt may have opened a conversation."""
    return _look_first(code, history, policy) if _is_unknown(history) else Fail(code)


def is_unresolved(history: Sequence[Attempt]) -> bool:
    """Tell whether the next step is a look-up, and nothing may be sent."""
    return bool(history) and history[-1].outcome == UNRESOLVED


def look_again(history: Sequence[Attempt], *, policy: Policy, reuse: bool) -> Decision:
    """Decide how a job goes on after a look-up without a result."""
    if _is_ours(history):
        return _already_open(history, policy, reuse=reuse)
    return _look_first(_given_up(policy), history, policy)


def _refused(
    answer: Answer, history: Sequence[Attempt], policy: Policy, *, alone: bool
) -> Decision:
    """Decide whether a refusal blames the consumer, the job or the account."""
    if answer.kind is Kind.NOT_SERVED:
        return _not_served(history, policy, alone=alone)
    if answer.kind is Kind.CREDENTIALS:
        return _account_refused(history, policy, alone=alone)
    if answer.stale_token == CONSUMER:
        return _consumer_refused(history, policy)
    return _app_refused(history, policy, alone=alone)


def _consumer_refused(history: Sequence[Attempt], policy: Policy) -> Decision:
    """Renew a ConsumerJWS; if new ones are refused too, the consumer is refused."""
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
    """Renew an AppJWT; if new ones are refused too, the account is refused."""
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
    """Hold the account, unless this job `alone` is refused."""
    if not alone:
        return Hold(renew=renew)
    used = _used(history, lambda attempt: attempt.note == ALONE)
    if used < min(ALONE_REPEATS, len(policy.schedule)):
        return Again(after=policy.schedule[used], renew=renew, note=ALONE)
    return conclude("unauthorized", history, policy=policy)


def _not_served(history: Sequence[Attempt], policy: Policy, *, alone: bool) -> Decision:
    """Retry a refusal that may blame the account; not if others are accepted meanwhile."""
    pause = _next(history, policy.schedule[:NOT_SERVED_REPEATS], {Kind.NOT_SERVED})
    refused_before = any(attempt.outcome == Kind.NOT_SERVED for attempt in history)
    if pause is None or (alone and refused_before):
        return conclude("rejected", history, policy=policy)
    return pause


def _already_open(history: Sequence[Attempt], policy: Policy, *, reuse: bool) -> Decision:
    closed = _next(history, policy.schedule, FAILURES) or Fail("already_open")
    # If none is found, it was closed meanwhile, and a repeat can open one.
    taken: Fail | LookUp = (
        LookUp(found="reused", otherwise=closed, unaskable=closed)
        if reuse
        else Fail("already_open")
    )
    if not _is_unknown(history):
        return taken
    # After an attempt of unknown fate the open conversation is ours, unless the ledger names
    # another job. Sending the job again after it is closed would open a second one.
    later = _look_later(history, policy)
    return LookUp(found="created", otherwise=later, unaskable=later, of_another=taken)


def _is_unknown(history: Sequence[Attempt]) -> bool:
    """Tell whether an attempt may have opened a conversation."""
    return any(attempt.outcome == Kind.UNKNOWN for attempt in history)


def _is_ours(history: Sequence[Attempt]) -> bool:
    """Tell whether an attempt of unknown fate has proved to have opened a conversation."""
    return any(
        attempt.outcome == Kind.ALREADY_OPEN and _is_unknown(history[:place])
        for place, attempt in enumerate(history)
    )


def _given_up(policy: Policy) -> ErrorCode:
    """Return the error code of a job that is not repeated after an attempt of unknown fate."""
    return "retries_exhausted" if policy.repeat_unknown else "in_doubt"


def _look_first(code: ErrorCode, history: Sequence[Attempt], policy: Policy) -> LookUp:
    given_up, later = Fail(code), _look_later(history, policy)
    # If it existed once, "none open" proves nothing.
    otherwise = later if _is_ours(history) else given_up
    return LookUp(found="created", otherwise=otherwise, unaskable=later, of_another=given_up)


def _look_later(history: Sequence[Attempt], policy: Policy) -> Again | Fail:
    again = _next(history, policy.monitoring, {UNRESOLVED})
    return replace(again, unresolved=True) if again else Fail("in_doubt")


def _pause(answer: Answer, history: Sequence[Attempt], policy: Policy) -> Again | None:
    """Return a retry after the next delay of the schedule, or after `Retry-After` if longer."""
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
    """Count attempts since the last operator's replay."""
    used = 0
    for attempt in history:
        used = 0 if attempt.outcome == REPLAYED else used + counts(attempt)
    return used
