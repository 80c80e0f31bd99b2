"""What one attempt at a job leads to, and what is known when it is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tasks.account import Account
from tasks.liveperson.answer import OF_THE_ACCOUNT, Answer, Kind, is_page, is_taken
from tasks.messages.moment import rfc3339
from tasks.messages.outcome import Outcome, failed, opened
from tasks.messages.receive import Work
from tasks.messages.result import Attempt, ErrorCode
from tasks.prepare import Prepared
from tasks.store.answers import Claim
from tasks.store.ledger import Feedback

# When to look again at a job that another delivery works on, in seconds.
HELD_SECONDS: Final = 3.0

MESSAGES: Mapping[str, str] = {
    "already_open": (
        'the consumer has an open conversation; set "onOpenConversation": "reuse" to get its id'
    ),
    "cancelled": "an operator cancelled the job",
    "conflict": "the jobId was used before with other content; give a new job a new jobId",
    "expired": "expiresAt passed before the job could be sent",
    "in_doubt": "a request was sent, and whether it opened a conversation could not be determined",
    "internal_error": "too many workers were lost while working on the job",
}


@dataclass(frozen=True, slots=True)
class PutOff:
    """The job is to come back from the broker after so many seconds.

    `cause` names service, host, and error or HTTP status, where a call has failed.
    """

    seconds: float
    why: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """The job is to be attempted again without leaving its slot, after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One attempt, when it comes to its decision.

    `sent` tells that the request to open the conversation left; `answer` is what LivePerson said
    to it, or to what had to be asked before it. `at` is RFC 3339.
    """

    work: Work
    account: Account
    claim: Claim
    at: str
    prepared: Prepared
    sent: bool
    answer: Answer | None

    @property
    def attempt(self) -> Attempt | None:
        """The attempt as the ledger keeps it; None if there was none."""
        if self.answer is None:
            return None
        return Attempt(
            at=self.at,
            http_status=self.answer.http_status,
            outcome=self.answer.kind.value,
            cause=self.cause,
        )

    @property
    def cause(self) -> str:
        """Why the attempt failed, if it did."""
        return self.answer.cause if self.answer else ""

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Every attempt, this one included."""
        return self.claim.history if self.attempt is None else (*self.claim.history, self.attempt)

    @property
    def feedback(self) -> Feedback:
        """What the limiter learns from this attempt."""
        if self.answer is None:
            return ""
        kind, status = self.answer.kind, self.answer.http_status
        if kind is Kind.CREDENTIALS:
            return "credentials"
        if kind is Kind.NOT_SERVED or (kind in OF_THE_ACCOUNT and is_page(Kind.NOT_SENT, status)):
            return "barred"
        if kind in OF_THE_ACCOUNT:
            return "failed"
        if not self.sent:
            return ""
        if not is_taken(kind):
            return "failed"
        return "throttled" if kind is Kind.THROTTLED else "ok"

    def opened(self, status: str, conversation_id: str, resolved_by: str | None = None) -> Outcome:
        """Make the result."""
        work, ready = self.work, self.prepared.ready
        return opened(
            work.job,
            status="reused" if status == "reused" else "created",
            conversation_id=conversation_id,
            lp_consumer_id=ready.tokens.lp_consumer_id if ready else None,
            attempts=self.claim.sent,
            enqueued_at=work.enqueued_at or rfc3339(self.claim.seen_at),
            resolved_by=resolved_by,
            conversation=ready.conversation if ready else work.job.conversation,
        )

    def failed(self, code: ErrorCode) -> Outcome:
        """Make the dead letter."""
        answer = self.answer
        return failed(
            self.work.job,
            self.work.document,
            code=code,
            message=self._message(code, answer.message if answer else ""),
            http_status=answer.http_status if answer else None,
            error_code=answer.error_code if answer else None,
            attempts=self.history,
        )

    def _message(self, code: ErrorCode, said: str) -> str:
        if code == "retries_exhausted":
            last = f"the last with: {said}" if said else "and no conversation is open"
            return f"every attempt failed, {last}; replay it once LivePerson answers again"
        if code == "already_open" and self.work.job.on_open_conversation == "reuse":
            return "the consumer has an open conversation, but its id could not be found; replay it"
        return MESSAGES.get(code) or said or code


@dataclass(frozen=True, slots=True)
class Ended:
    """The job has its outcome, which is to be recorded before it is published."""

    turn: Turn
    outcome: Outcome


Step = Outcome | Ended | PutOff | AtOnce
