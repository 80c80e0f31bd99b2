"""One try at a job: prepared, claimed, sent, decided about, and what follows from that."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Literal

from tasks import retry
from tasks.account import Account
from tasks.liveperson.answer import (
    MAX_RETRY_AFTER_SECONDS,
    OF_THE_ACCOUNT,
    Answer,
    CallFailed,
    Kind,
    is_page,
    is_taken,
)
from tasks.liveperson.engagement import (
    EngagementFailure,
    LookupFailed,
    read_visit,
    write_visit,
)
from tasks.liveperson.tokens import Tokens
from tasks.measures import UNMEASURED, Measures
from tasks.messages.intake import Work
from tasks.messages.outcome import Outcome, failed, opened
from tasks.messages.outgoing import now, rfc3339
from tasks.messages.result import Attempt, ErrorCode
from tasks.permits import Permits
from tasks.retry import (
    PROBE,
    UNRESOLVED,
    Again,
    Created,
    Decision,
    Fail,
    Hold,
    LookUp,
    Policy,
    Throttled,
    throttled_pause,
)
from tasks.stopping import Shutdown
from tasks.store.answers import (
    Beginning,
    Cancelled,
    Claim,
    Claimed,
    Conflict,
    Defer,
    Forgotten,
    Go,
    Held,
    Lost,
    Replay,
)
from tasks.store.brake import Brake
from tasks.store.ledger import Feedback, Ledger
from tasks.store.retrying import retry_store
from tasks.tracing import UNTRACED, Tracing

# Namespace of the ids that the two items of an attempt bear, so that no store need hold them.
ITEMS: Final = uuid.UUID("7b8b7f3e-52c5-4f0e-9a57-3c1f8d0f5a11")
# When to retry a job that another delivery has claimed, in seconds.
CLAIMED_RETRY_SECONDS: Final = 3.0
# Pauses up to this long are waited for in the thread; longer ones in the broker, in seconds.
MAX_PAUSE_SECONDS: Final = 1.0
# LivePerson: after a 429 a token is asked for again after 5 s at the earliest.
TOKEN_PAUSE_SECONDS: Final = 5.0
# A job of an account that is held comes back after this long at the earliest, in seconds.
HOLD_SECONDS: Final = 5.0

MESSAGES: Final[Mapping[str, str]] = {
    "already_open": (
        'the consumer has an open conversation; set "onOpenConversation": "reuse" to get its id'
    ),
    "cancelled": "an operator cancelled the job",
    "conflict": "the jobId was used before with other content; give a new job a new jobId",
    "expired": "expiresAt passed before the job could be sent",
    "in_doubt": "a request was sent, and whether it opened a conversation could not be determined",
    "internal_error": "too many workers were lost while working on the job",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The job has its outcome: record it, then publish it. The limiter learns `feedback`.

    `enqueued_at` is RFC 3339: when it was enqueued, or else first seen.
    """

    outcome: Outcome
    enqueued_at: str
    feedback: Feedback
    cause: str


@dataclass(frozen=True, slots=True)
class Publish:
    """The job has an outcome that is recorded already, or needs no record: publish it."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Later:
    """Retry in `seconds`; the broker holds the message meanwhile.

    `cause` names service, host, and error or HTTP status, where a call has failed.
    """

    seconds: float
    why: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Soon:
    """Retry in `seconds`, in the same thread; `why` as for one that comes later."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Drop:
    """The job had its outcome long ago, and it was erased since: nothing is left to do."""


Step = Record | Publish | Later | Drop


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What every try goes by and works with; all threads share one.

    `max_losses`: with so many workers lost while working on it, a job is given up.
    """

    ledger: Ledger
    permits: Permits
    brake: Brake
    shutdown: Shutdown
    policy: Policy
    max_losses: int
    measures: Measures = UNMEASURED
    tracing: Tracing = UNTRACED


class Try:
    """One try at a job, with at most one request to open its conversation.

    `make` goes through its steps; each finds in the attributes what those before it have found.
    """

    def __init__(self, work: Work, account: Account, rules: Rules) -> None:
        self.work = work
        self.account = account
        self._rules = rules
        self._ledger, self._permits, self._shutdown = rules.ledger, rules.permits, rules.shutdown
        self._tokens: Tokens | None = None  # once the request is ready
        self._conversation = work.job.conversation  # as it is sent, with what was engaged
        # The Monitoring API's visitor and session, for the next try to come back as.
        self._visit = ""
        self._claim: Claim
        self._at = ""  # when it was made, RFC 3339
        self._is_sent = False
        # What LivePerson said to the request, or to what had to be asked before it.
        self._answer: Answer | None = None

    def make(self) -> Step | Soon:
        """Take the job one step further. Raises Stopping."""
        with self._permits.seat(self.work) as is_seated:
            if not is_seated:
                wait = self._permits.put_off(self.work, self.account)
                return Later(wait.seconds, wait.why, wait.cause)
            return self._make()

    def _make(self) -> Step | Soon:
        job, visit = self.work.job, ""
        is_paused = self._rules.brake.is_on(job.account_id, job.submission_id)
        is_paced = self._permits.is_paced(self.work)
        if is_paused or is_paced or job.engagement is not None:
            # The Monitoring API counts visits, so one delivery at a time asks it.
            begun = self._permits.begin(self.work, self.account, "prepare")
            if not isinstance(begun, Claimed | Cancelled):
                return self._not_ours(begun)
            if isinstance(begun, Cancelled):
                return self._act(self._unsent(begun))
            self._visit = visit = begun.claim.visit
        if not self._is_expired():
            retry_store(self._prepare, until=self._shutdown.draining)
        if self._visit != visit:
            # Kept at once: no permit may be to be had, and then no attempt is written down.
            self._permits.claim(self.work, self.account, "claim", visit=self._visit)
        begun = self._begin()
        match begun:
            case Go(claim) if self._tokens is not None and not self._is_expired():
                self._at = now()
                self._claim = claim
                self._send(self._tokens)
                decision = self._decide()
            case Go() | Claimed() | Cancelled():
                decision = self._unsent(begun)
            case _:
                return self._not_ours(begun)
        return self._act(decision)

    # Prepared, claimed, sent

    def _prepare(self) -> None:
        """Get the tokens, and the engagement that the job may ask for. Raises StoreError."""
        job, client = self.work.job, self.account.client
        self._answer = None
        try:
            tokens = client.tokens(job.consumer_id)
            if job.engagement is not None:
                engaged = client.engage(job, read_visit(self._visit))
                self._conversation = engaged.merged_into(job.conversation)
                self._visit = write_visit(engaged.visit)
            self._tokens = tokens
        except EngagementFailure as failure:
            self._answer, self._visit = failure.answer, write_visit(failure.visit)
            if failure.answer.kind is Kind.NOT_SENT:
                self._answer = replace(failure.answer, kind=Kind.NOT_ENGAGED)
        except CallFailed as failure:
            self._answer = failure.answer

    def _begin(self) -> Beginning:
        """Claim the job, with a permit if it can be sent."""
        if self._tokens is not None and not self._is_expired():
            return self._permits.begin(self.work, self.account)
        failing = self._answer is not None and self._answer.kind in OF_THE_ACCOUNT
        return self._permits.claim(self.work, self.account, "fail" if failing else "claim")

    def _send(self, tokens: Tokens) -> None:
        job = self.work.job
        name = f"{job.account_id}/{job.job_id}/{self._claim.sent}"
        self._answer = self.account.client.create(
            job,
            tokens,
            profile_id=str(uuid.uuid5(ITEMS, f"{name}/profile")),
            conversation_id=str(uuid.uuid5(ITEMS, f"{name}/conversation")),
            conversation=self._conversation,
            resends=self._claim.sent - 1,
        )
        self._is_sent = True
        if self._claim.probing and is_taken(self._answer.kind):
            self.account.hold.ends(asked=time.monotonic())

    def _not_ours(self, begun: Beginning) -> Step:
        """Answer for a job that this delivery does not get to work on."""
        match begun:
            case Replay(outcome):
                return Publish(outcome)
            case Defer(seconds, why, cause):
                return Later(seconds, why, cause)
            case Held():
                return Later(CLAIMED_RETRY_SECONDS, "held")
            case Forgotten():
                return Drop()
            case Conflict():
                return Publish(self._dead_letter("conflict", MESSAGES["conflict"]))
            case _:
                raise AssertionError(f"the ledger began a job in an unforeseen way: {begun}")

    # Decided

    def _decide(self) -> Decision:
        assert self._answer is not None
        self._rules.measures.attempted(self.work.job.account_id, self._answer.kind.value)
        return retry.decide(
            self._answer,
            self._claim.history,
            policy=self._rules.policy,
            reuse=self._reuses,
            alone=self._claim.alone,
            probing=self._claim.probing,
        )

    def _unsent(self, begun: Go | Claimed | Cancelled) -> Decision:
        """Decide about a job that is ours but was not sent."""
        self._at = now()
        self._claim = begun.claim
        history, policy = self._claim.history, self._rules.policy
        if isinstance(begun, Cancelled):
            return retry.conclude("cancelled", history, policy=policy)
        if self._is_expired():
            return retry.conclude("expired", history, policy=policy)
        if self._claim.losses > self._rules.max_losses:
            return retry.conclude("internal_error", history, policy=policy)
        if retry.is_unresolved(history):
            return retry.look_again(history, policy=policy, reuse=self._reuses)
        if self._answer is not None:
            return self._decide()
        # What is left is that nothing may be repeated after an attempt of unknown fate.
        return retry.conclude("in_doubt", history, policy=policy)

    # Acted upon

    def _act(self, decision: Decision, *, looked: Answer | None = None) -> Step | Soon:
        """End the job, or let go of it until its next try. Raises Stopping.

        `looked` is what came of a look-up that told nothing.
        """
        match decision:
            case Created() if self._answer is not None:
                return self._opened("created", str(self._answer.conversation_id))
            case Fail(code):
                return self._failed(code)
            case LookUp():
                return self._look_up(decision)
            case Again():
                return self._again(decision, looked)
            case Throttled():
                return self._throttled()
            case Hold():
                return self._hold(decision)
            case _:
                raise AssertionError(f"unhandled decision: {decision}")

    def _again(self, decision: Again, looked: Answer | None) -> Step | Soon:
        """Let go of the job until its next attempt, or until it is looked for again."""
        self._renew(decision.renew)
        after, cause = decision.after, self._cause
        attempts = [replace(self._attempt, note=decision.note)] if self._attempt else []
        if decision.unresolved or not attempts:
            status = looked.http_status if looked else HTTPStatus.OK
            cause = looked.cause if looked else "Monitoring: no open conversation"
            attempts.append(Attempt(at=now(), http_status=status, outcome=UNRESOLVED, cause=cause))
        is_short = after <= MAX_PAUSE_SECONDS
        step = Soon(after, "retry") if is_short else Later(after, "retry", cause)
        # Whoever tries for all has not ended its try before it has sent a new token.
        feedback = "" if decision.renew is not None and is_short else self._feedback
        return self._release(attempts, feedback=feedback, due=after, waits_for="retry") or step

    def _renew(self, stale: Literal["app", "consumer"] | None) -> None:
        tokens = self._tokens
        if stale is not None and tokens is not None:
            retry_store(lambda: self.account.client.renew(tokens, stale), until=self._shutdown.over)

    def _hold(self, decision: Hold) -> Step | Soon:
        """Hold the account for what an attempt met; the job comes back to be tried again."""
        self._renew(decision.renew)
        if decision.note != PROBE and self._answer is not None:
            self._answer = replace(self._answer, kind=Kind.CREDENTIALS)
        attempts = [replace(self._attempt, note=decision.note)] if self._attempt else []
        return self._held(attempts, self._feedback, self._cause)

    def _hold_look_up(self, refused: Answer) -> Step | Soon:
        """Hold the account for what a look-up met; what was sent before it stays as it was."""
        attempts = [self._attempt] if self._attempt else []
        attempts.append(
            Attempt(
                at=now(),
                http_status=refused.http_status,
                outcome=UNRESOLVED,
                cause=refused.cause,
                note=PROBE,
            )
        )
        feedback: Feedback = self._feedback if self._is_sent else "credentials"
        return self._held(attempts, feedback, refused.cause)

    def _held(self, attempts: Sequence[Attempt], feedback: Feedback, cause: str) -> Step | Soon:
        if [_outline(one) for one in attempts] == [_outline(x) for x in self._claim.history[-1:]]:
            attempts = []  # hours of a hold are one attempt
        why = "circuit" if feedback in {"failed", "barred"} else "credentials"
        # Until it is lined up: its consumer stays locked for at least as long as it can be away.
        other = self._release(
            attempts,
            feedback=feedback,
            cause=cause,
            due=MAX_RETRY_AFTER_SECONDS,
            waits_for=why,
        )
        if other is not None:
            return other
        asked = time.monotonic()
        found = self._wait_in_line(HOLD_SECONDS, why)
        self.account.hold.begins(found.why, cause=cause, seconds=found.seconds, asked=asked)
        return Later(found.seconds, why, cause)

    def _wait_in_line(self, at_least: float, why: str) -> Defer:
        """Return when the job comes back: one by one, since all that met a pause come after it."""
        return retry_store(
            lambda: self._ledger.put_off(
                self.work.job, ceiling=self.account.ceiling, at_least=at_least, waits_for=why
            ),
            until=self._shutdown.over,
        )

    def _look_up(self, decision: LookUp) -> Step | Soon:
        """Ask the Monitoring API for the consumer's open conversation."""
        visit = read_visit(self._visit or self._claim.visit)
        try:
            found = self.account.client.find_open_conversation(self.work.job, visit=visit)
        except LookupFailed as failure:
            self._visit = write_visit(failure.visit)
            if failure.answer.kind is Kind.CREDENTIALS and not self._claim.alone:
                return self._hold_look_up(failure.answer)
            return self._act(decision.unaskable, looked=failure.answer)
        if found is None:
            return self._act(decision.otherwise)
        if decision.of_another is not None:
            opener = self._opener(found)
            if opener not in {"", self.work.job.job_id}:
                return self._act(decision.of_another)
            if not opener and self._claim.is_doubted:
                # Another job's request may have opened it as well as ours: nobody can tell.
                told = isinstance(decision.of_another, LookUp)
                return self._act(decision.of_another if told else Fail("in_doubt"))
        return self._opened(decision.found, found, resolved_by="monitoring")

    def _opener(self, conversation_id: str) -> str:
        """Return the id of the job that a conversation was opened for, if that is known."""
        return retry_store(
            lambda: self._ledger.opener(self.work.job.account_id, conversation_id),
            until=self._shutdown.over,
        )

    def _throttled(self) -> Step | Soon:
        """Let the job wait after a 429; the pool waits only if the limiter says so.

        One for a token has a pause of its own.
        """
        asked = self._answer.retry_after if self._answer else None
        retry_after = min(asked or 0.0, MAX_RETRY_AFTER_SECONDS)
        pause = retry_after
        if self._is_sent:
            # Jobs that were refused together come back one by one.
            spread = 1 + random.random()  # noqa: S311 - no secret
            pause = max(retry_after, throttled_pause(self._history) * spread)
        attempts = [self._attempt] if self._attempt and not self._is_repeated() else []
        is_put_off = self._is_sent and pause > 2 * MAX_PAUSE_SECONDS
        other = self._release(
            attempts,
            retry_after=retry_after,
            due=pause,
            waits_for="throttled" if is_put_off else "",
        )
        if other is not None:
            return other
        if self._is_sent:
            why = "throttled"
            return Later(pause, why, self._cause) if is_put_off else Soon(pause, why)
        why = "throttled before sending"
        found = self._wait_in_line(max(pause, TOKEN_PAUSE_SECONDS), why)
        return Later(found.seconds, found.why or why, found.cause or self._cause)

    def _is_repeated(self) -> bool:
        """Tell whether a job is kept from being sent once more: hours of that are one attempt."""
        history = self._claim.history
        return not self._is_sent and bool(history) and history[-1].outcome == Kind.THROTTLED

    def _release(
        self,
        attempts: Sequence[Attempt],
        *,
        feedback: Feedback | None = None,
        cause: str = "",
        retry_after: float = 0,
        due: float = 0,
        waits_for: str = "",
    ) -> Step | None:
        """Let go of the job; return what another delivery made of it, if one did."""
        work = self.work
        recorded = retry_store(
            lambda: self._ledger.release(
                work.job,
                work.owner,
                attempts=attempts,
                feedback=self._feedback if feedback is None else feedback,
                cause=cause or self._cause,
                retry_after=retry_after,
                visit=self._visit,
                earlier=self._claim.history,
                due=due,
                waits_for=waits_for,
            ),
            until=self._shutdown.over,
        )
        self.account.gate.freed()
        match recorded:
            case Replay(outcome):
                return Publish(outcome)
            case Lost():
                return Later(CLAIMED_RETRY_SECONDS, "taken over")
            case None:
                return None

    # What is known when it is decided

    @property
    def _attempt(self) -> Attempt | None:
        """The attempt as the ledger keeps it; None if there was none."""
        if self._answer is None:
            return None
        return Attempt(
            at=self._at,
            http_status=self._answer.http_status,
            outcome=self._answer.kind.value,
            cause=self._cause,
        )

    @property
    def _cause(self) -> str:
        """Why the attempt failed, if it did."""
        return self._answer.cause if self._answer else ""

    @property
    def _history(self) -> tuple[Attempt, ...]:
        """Every attempt, this one included."""
        attempt = self._attempt
        return (*self._claim.history, attempt) if attempt else self._claim.history

    @property
    def _feedback(self) -> Feedback:
        """What the limiter learns from this attempt."""
        if self._answer is None:
            return ""
        kind, status = self._answer.kind, self._answer.http_status
        if kind is Kind.CREDENTIALS:
            return "credentials"
        if kind is Kind.NOT_SERVED or (kind in OF_THE_ACCOUNT and is_page(Kind.NOT_SENT, status)):
            return "barred"
        if kind in OF_THE_ACCOUNT:
            return "failed"
        if not self._is_sent:
            return ""
        if not is_taken(kind):
            return "failed"
        return "throttled" if kind is Kind.THROTTLED else "ok"

    @property
    def _enqueued_at(self) -> str:
        """When the job was enqueued, or else first seen: RFC 3339."""
        return self.work.enqueued_at or rfc3339(self._claim.seen_at)

    @property
    def _reuses(self) -> bool:
        return self.work.job.on_open_conversation == "reuse"

    def _is_expired(self) -> bool:
        return self.work.is_expired(datetime.now(UTC))

    def _opened(self, status: str, conversation_id: str, resolved_by: str | None = None) -> Record:
        """Make the result."""
        opened_with = None
        if status == "reused":
            opened_with = retry_store(
                lambda: self._ledger.opened_with(self.work.job.account_id, conversation_id),
                until=self._shutdown.over,
            )
        outcome = opened(
            self.work.job,
            status="reused" if status == "reused" else "created",
            conversation_id=conversation_id,
            lp_consumer_id=self._tokens.lp_consumer_id if self._tokens else None,
            attempts=self._claim.sent,
            enqueued_at=self._enqueued_at,
            resolved_by=resolved_by,
            conversation=self._conversation,
            opened_with=opened_with,
            trace=self.work.trace,
        )
        return self._record(outcome)

    def _failed(self, code: ErrorCode) -> Record:
        """Make the dead letter."""
        answer = self._answer
        outcome = self._dead_letter(
            code,
            self._message(code, answer.message if answer else ""),
            http_status=answer.http_status if answer else None,
            error_code=answer.error_code if answer else None,
            attempts=self._history,
        )
        return self._record(outcome)

    def _record(self, outcome: Outcome) -> Record:
        return Record(
            outcome=outcome,
            enqueued_at=self._enqueued_at,
            feedback=self._feedback,
            cause=self._cause,
        )

    def _dead_letter(self, code: ErrorCode, message: str, **facts: Any) -> Outcome:
        work = self.work
        return failed(
            work.job, work.document, code=code, message=message, trace=work.trace, **facts
        )

    def _message(self, code: ErrorCode, said: str) -> str:
        if code == "retries_exhausted":
            last = f"the last with: {said}" if said else "and no conversation is open"
            return f"every attempt failed, {last}; replay it once LivePerson answers again"
        if code == "already_open" and self._reuses:
            return "the consumer has an open conversation, but its id could not be found; replay it"
        return MESSAGES.get(code) or said or code


def _outline(attempt: Attempt) -> tuple[str, str, str]:
    """Return what an attempt came to, without its time."""
    return attempt.outcome, attempt.note, attempt.cause
