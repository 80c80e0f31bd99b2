"""The ledger's answers: whether a job may be sent, and what is known of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tasks.messages.attempt import Attempt
from tasks.messages.job import Job
from tasks.messages.outcome import REPEATED, Outcome
from tasks.messages.trace import read_trace
from tasks.store.connection import MILLISECONDS, text
from tasks.store.finished import unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the ledger knows of a job that this delivery has claimed.

    `history` are the earlier attempts, `sent` is how often the request was sent, this time
    included, `losses` how many workers were lost with the job. `is_doubted`: another job of the
    consumer may have opened a conversation that nobody knows of. `alone`: other jobs of the account
    were accepted since this one was refused. `probing`: the job tests a held account.
    """

    seen_at: datetime
    history: tuple[Attempt, ...]
    sent: int
    losses: int
    visit: str
    is_doubted: bool = False
    alone: bool = False
    probing: bool = False


@dataclass(frozen=True, slots=True)
class Go:
    """The permit is granted and the attempt recorded: send now."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Claimed:
    """The job is claimed; no permit was asked for."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job is claimed, and an operator has cancelled it."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after `seconds`, with the time that was booked for the request (0: none)."""

    seconds: float
    booked: float
    why: str
    cause: str = ""
    said_at: float = field(default_factory=time.monotonic, compare=False)

    def left(self) -> float:
        """Return the seconds that are left."""
        return max(0.0, self.said_at + self.seconds - time.monotonic())


@dataclass(frozen=True, slots=True)
class Defer:
    """The job is not claimed; it should come back in `seconds`."""

    seconds: float
    why: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Another delivery has claimed the job."""

    owner: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The job has its outcome already: publish it again."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Conflict:
    """The job id was used before, with other content."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The claim was taken over; the result of this delivery does not count."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The job has had its outcome, which was erased with the data of its consumer."""


Beginning = Go | Claimed | Cancelled | Defer | Held | Recorded | Conflict | Forgotten


def ended(job: Job, answer: Sequence[Any]) -> Recorded | Lost | None:
    """Read the answer of finish.lua; None if it did what it was asked."""
    match text(answer[0]):
        case "recorded":
            return _recorded(job, answer) or Lost()
        case "lost":
            return Lost()
    return None


def beginning(job: Job, answer: Sequence[Any]) -> Beginning | Wait:
    """Read the answer of begin.lua."""
    match text(answer[0]):
        case "go":
            return Go(_claim(answer[1]))
        case "claimed":
            return Claimed(_claim(answer[1]))
        case "cancelled":
            return Cancelled(_claim(answer[1]))
        case "wait":
            seconds, booked = float(answer[1]) / MILLISECONDS, float(answer[2])
            return Wait(seconds, booked, text(answer[3]), text(answer[4]))
        case "defer":
            return Defer(float(answer[1]) / MILLISECONDS, text(answer[2]), text(answer[3]))
        case "held":
            return Held(text(answer[1]))
        case "recorded":
            return _recorded(job, answer) or Conflict()
        case "forgotten":
            return Forgotten()
        case "conflict":
            return Conflict()
        case other:
            raise AssertionError(f"the ledger's script answered {other!r}")


def _claim(facts: Sequence[Any]) -> Claim:
    seen, told, sent, losses, visit, is_doubted, alone, probing = facts
    history = json.loads(f"[{text(told)}]") if told else ()  # empty for nearly all
    return Claim(
        seen_at=datetime.fromtimestamp(float(seen) / MILLISECONDS, UTC),
        history=tuple(map(Attempt.from_dict, history)),
        sent=int(sent),
        losses=int(losses),
        visit=text(visit),
        is_doubted=bool(is_doubted),
        alone=bool(alone),
        probing=bool(probing),
    )


def _recorded(job: Job, answer: Sequence[Any]) -> Recorded | None:
    """Return the recorded outcome; None if it is that of another job with the same id."""
    if record := bytes(answer[1]):
        outcome = unpack(job, record)
        return Recorded(outcome) if outcome else None
    _, _, key, body, trace = answer
    return Recorded(
        Outcome(
            message_id=job.job_id,
            account_id=job.account_id,
            routing_key=text(key),
            body=bytes(body),
            counter=REPEATED,
            trace=read_trace(bytes(trace)),
        )
    )
