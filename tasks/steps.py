"""What a try at a job can end with: the step that `tasks.create_conversation` takes next."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.messages.outcome import Outcome
from tasks.store.ledger import Feedback


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The job has its outcome: record it, then publish it. `feedback` is for the limiter.

    `enqueued_at` is RFC 3339: when it was enqueued, or else first seen. `probing` says whether the
    job tested a held account.
    """

    outcome: Outcome
    enqueued_at: str
    feedback: Feedback
    cause: str
    probing: bool


@dataclass(frozen=True, slots=True)
class Publish:
    """The job's outcome is recorded already, or needs no record: publish it."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Later:
    """Retry in `seconds`; the broker holds the message meanwhile.

    `cause` names service, host, and error or HTTP status, if a call has failed.
    """

    seconds: float
    why: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Soon:
    """Retry in `seconds`, in the same thread; `why` as in `Later`."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Drop:
    """The job has had its outcome, which was erased since: acknowledge the message only."""


Step = Record | Publish | Later | Drop
