"""What to do after an answer: a pure function of the answer and of the attempts before it.

LivePerson's policy (page retry-policy-recommendations): 4xx are not retried, but 429 after at least
a second and 401 after a new token; 5xx are retried after 5, 10 and 15 s, then ever more slowly.
What may have been sent is repeated for the same consumer only, since an open conversation then
keeps LivePerson from opening a second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from worker.liveperson.answer import Answer, Kind
from worker.messages.result import Attempt, ErrorCode

# Attempts that use up a place in the schedule; 429 and 401 do not.
FAILURES = frozenset({Kind.UNKNOWN, Kind.NOT_SENT, Kind.ALREADY_OPEN})
# What stands in a job's history where an operator enqueued it again.
REPLAYED = "replayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The pauses before each repeat, in seconds, and whether an unknown outcome is repeated."""

    schedule: tuple[float, ...]
    repeat_unknown: bool = True


@dataclass(frozen=True, slots=True)
class Created:
    """The answer holds the conversation's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again after so many seconds, with a new token where one is named stale."""

    after: float
    renew: Literal["app", "consumer"] | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """The pool pauses; the job keeps its place and loses no retry."""


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


Decision = Created | Again | Throttled | LookUp | Fail


def decide(
    answer: Answer, history: Sequence[Attempt], *, policy: Policy, reuse: bool = False
) -> Decision:
    """Say what follows from an answer, given the attempts before it.

    `reuse` tells that the job takes an open conversation's id for a result.
    """
    match answer.kind:
        case Kind.CREATED:
            return Created()
        case Kind.THROTTLED:
            return Throttled()
        case Kind.UNAUTHORIZED:
            repeated = bool(history) and history[-1].outcome == Kind.UNAUTHORIZED
            if repeated or answer.stale_token is None:
                return conclude("unauthorized", history)
            return Again(after=0, renew=answer.stale_token)
        case Kind.REJECTED:
            return conclude("rejected", history)
        case Kind.NOT_SENT:
            return _next_pause(history, policy) or conclude("retries_exhausted", history)
        case Kind.ALREADY_OPEN:
            return _already_open(history, policy, reuse=reuse)
        case Kind.UNKNOWN:
            return _unknown(history, policy)


def conclude(code: ErrorCode, history: Sequence[Attempt]) -> Fail | LookUp:
    """Give a job up; where an attempt may have opened a conversation, look for it first."""
    if not _was_unknown(history):
        return Fail(code)
    return _look_first(code)


def _was_unknown(history: Sequence[Attempt]) -> bool:
    """Tell whether one of the attempts may have opened a conversation."""
    return any(attempt.outcome == Kind.UNKNOWN for attempt in history)


def _already_open(history: Sequence[Attempt], policy: Policy, *, reuse: bool) -> Decision:
    pause = _next_pause(history, policy)
    closed = pause or Fail("already_open")
    # None found means that it was closed meanwhile, so that a repeat can open one.
    taken: Fail | LookUp = (
        LookUp(found="reused", otherwise=closed, unaskable=closed)
        if reuse
        else Fail("already_open")
    )
    if not _was_unknown(history):
        return taken
    # After an attempt of unknown fate the open conversation is ours, unless it is known whose.
    doubt = pause or Fail("in_doubt")
    return LookUp(found="created", otherwise=doubt, unaskable=doubt, of_another=taken)


def _unknown(history: Sequence[Attempt], policy: Policy) -> Decision:
    if not policy.repeat_unknown:
        return _look_first("in_doubt")
    return _next_pause(history, policy) or _look_first("retries_exhausted")


def _look_first(code: ErrorCode) -> LookUp:
    given_up = Fail(code)
    return LookUp(
        found="created", otherwise=given_up, unaskable=Fail("in_doubt"), of_another=given_up
    )


def _next_pause(history: Sequence[Attempt], policy: Policy) -> Again | None:
    # An operator's replay begins the schedule anew; what was unknown before it stays so.
    used = 0
    for attempt in history:
        used = 0 if attempt.outcome == REPLAYED else used + (attempt.outcome in FAILURES)
    return Again(after=policy.schedule[used]) if used < len(policy.schedule) else None
