"""One try at a job: prepare the request, claim the job, send, decide, act on the decision."""

from __future__ import annotations

import random
import time
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
from tasks.liveperson.conversation import item_ids
from tasks.liveperson.engagement import (
    EngagementFailure,
    LookupFailed,
    read_visit,
    write_visit,
)
from tasks.liveperson.tokens import Tokens
from tasks.measures import UNMEASURED, Measures
from tasks.messages.attempt import UNRESOLVED, Attempt
from tasks.messages.dead_letter import ErrorCode
from tasks.messages.intake import Work
from tasks.messages.outcome import Outcome, failed, opened
from tasks.messages.outgoing import now, rfc3339
from tasks.permits import Permits
from tasks.retry import (
    PROBE,
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
from tasks.steps import Drop, Later, Publish, Record, Soon, Step
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
    Recorded,
)
from tasks.store.brake import Brake
from tasks.store.ledger import Feedback, Ledger
from tasks.store.retrying import retry_store
from tasks.tracing import UNTRACED, Tracing

# When to retry a job that another delivery has claimed.
CLAIMED_RETRY_SECONDS: Final = 3.0
# Retry delays up to this long are waited for in the thread, longer ones in the broker.
MAX_PAUSE_SECONDS: Final = 1.0
# The least time between token calls after a 429, as LivePerson asks.
TOKEN_PAUSE_SECONDS: Final = 5.0
# The shortest retry delay of a job while its account is held.
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
class Rules:
    """The settings and parts that all tries share.

    A job is given up once more than `max_losses` workers were lost while working on it.
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

    `make` runs its steps; each step stores what it finds in attributes, for the steps after it.
    """

    def __init__(self, work: Work, account: Account, rules: Rules) -> None:
        self.work = work
        self.account = account
        self._rules = rules
        self._ledger, self._permits, self._shutdown = rules.ledger, rules.permits, rules.shutdown
        self._tokens: Tokens | None = None  # once the request is ready
        self._conversation = work.job.conversation  # with the engagement, once there is one
        # The Monitoring API's visitor and session, for the next try.
        self._visit = ""
        self._claim: Claim
        self._at = ""  # when it was made, RFC 3339
        self._is_sent = False
        # LivePerson's answer to the request, or to a call that had to be made before it.
        self._answer: Answer | None = None

    def make(self) -> Step | Soon:
        """Try once, and return what follows. Raises Stopping."""
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
            # The Monitoring API counts visits, so only one delivery at a time may call it.
            begun = self._permits.begin(self.work, self.account, "prepare")
            if not isinstance(begun, Claimed | Cancelled):
                return self._not_ours(begun)
            if isinstance(begun, Cancelled):
                return self._act(self._unsent(begun))
            self._visit = visit = begun.claim.visit
        if not self._is_expired():
            retry_store(self._prepare, until=self._shutdown.draining)
        if self._visit != visit:
            # Stored now: without a permit no attempt will be recorded that could keep it.
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

    # Prepare, claim, send

    def _prepare(self) -> None:
        """Fetch the tokens, and the engagement if the job asks for one. Raises StoreError."""
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
        """Claim the job, with a permit if its request is ready."""
        if self._tokens is not None and not self._is_expired():
            return self._permits.begin(self.work, self.account)
        failing = self._answer is not None and self._answer.kind in OF_THE_ACCOUNT
        return self._permits.claim(self.work, self.account, "fail" if failing else "claim")

    def _send(self, tokens: Tokens) -> None:
        job = self.work.job
        profile_id, conversation_id = item_ids(job, self._claim.sent)
        self._answer = self.account.client.create(
            job,
            tokens,
            profile_id=profile_id,
            conversation_id=conversation_id,
            conversation=self._conversation,
            resends=self._claim.sent - 1,
        )
        self._is_sent = True

    def _not_ours(self, begun: Beginning) -> Step:
        """Return the step for a job that this delivery may not work on."""
        match begun:
            case Recorded(outcome):
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

    # Decide

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
        """Decide about a job that is claimed but was not sent."""
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
        # The last case: an attempt has an unknown fate, and the settings forbid to repeat it.
        return retry.conclude("in_doubt", history, policy=policy)

    # Act

    def _act(self, decision: Decision, *, looked: Answer | None = None) -> Step | Soon:
        """End the job, or release it until its next try. Raises Stopping.

        `looked` is the answer of a look-up that failed.
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
        """Release the job until its next attempt, or its next look-up."""
        self._renew(decision.renew)
        after, cause = decision.after, self._cause
        attempts = [replace(self._attempt, note=decision.note)] if self._attempt else []
        if decision.unresolved or not attempts:
            status = looked.http_status if looked else HTTPStatus.OK
            cause = looked.cause if looked else "Monitoring: no open conversation"
            attempts.append(Attempt(at=now(), http_status=status, outcome=UNRESOLVED, cause=cause))
        is_short = after <= MAX_PAUSE_SECONDS
        step = Soon(after, "retry") if is_short else Later(after, "retry", cause)
        # The one job that tests a held account goes on with a new token before its test ends.
        feedback = "" if decision.renew is not None and is_short else self._feedback
        return self._release(attempts, feedback=feedback, due=after, waits_for="retry") or step

    def _renew(self, stale: Literal["app", "consumer"] | None) -> None:
        tokens = self._tokens
        if stale is not None and tokens is not None:
            retry_store(lambda: self.account.client.renew(tokens, stale), until=self._shutdown.over)

    def _hold(self, decision: Hold) -> Step | Soon:
        """Hold the account because of an attempt; the job is retried later."""
        self._renew(decision.renew)
        if decision.note != PROBE and self._answer is not None:
            self._answer = replace(self._answer, kind=Kind.CREDENTIALS)
        attempts = [replace(self._attempt, note=decision.note)] if self._attempt else []
        return self._held(attempts, self._feedback, self._cause)

    def _hold_look_up(self, refused: Answer) -> Step | Soon:
        """Hold the account because of a look-up; the attempt before it is recorded unchanged."""
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
            attempts = []  # a hold of hours counts as one attempt
        why = "circuit" if feedback in {"failed", "barred"} else "credentials"
        # As late as it can be, so that its consumer stays locked until the real time is known.
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
        """Return when the job should come back; jobs of an account get different times."""
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
                # It may be another job's, whose request also has an unknown fate: nobody can tell.
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
        """Put the job off after a 429; the limiter decides whether the pool slows down.

        A 429 of a token call has its own delay.
        """
        asked = self._answer.retry_after if self._answer else None
        retry_after = min(asked or 0.0, MAX_RETRY_AFTER_SECONDS)
        pause = retry_after
        if self._is_sent:
            # Random, so that jobs that were refused together do not come back together.
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
        """Tell whether a 429 before sending is repeated: hours of that count as one attempt."""
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
        """Release the job; returns a step if another delivery has taken it or ended it."""
        work, asked = self.work, time.monotonic()
        told = self._feedback if feedback is None else feedback
        recorded = retry_store(
            lambda: self._ledger.release(
                work.job,
                work.owner,
                attempts=attempts,
                feedback=told,
                cause=cause or self._cause,
                retry_after=retry_after,
                visit=self._visit,
                earlier=self._claim.history,
                due=due,
                waits_for=waits_for,
            ),
            until=self._shutdown.over,
        )
        self.account.recorded(told, probing=self._claim.probing, asked=asked)
        match recorded:
            case Recorded(outcome):
                return Publish(outcome)
            case Lost():
                return Later(CLAIMED_RETRY_SECONDS, "taken over")
            case None:
                return None

    # What the steps have found

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
        """What this attempt tells the limiter."""
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
        """Return the result, to be recorded."""
        enqueued_at, opened_with = self._enqueued_at, None
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
            enqueued_at=enqueued_at,
            resolved_by=resolved_by,
            conversation=self._conversation,
            opened_with=opened_with,
            trace=self.work.trace,
        )
        return self._record(outcome, enqueued_at)

    def _failed(self, code: ErrorCode) -> Record:
        """Return the dead letter, to be recorded."""
        answer = self._answer
        outcome = self._dead_letter(
            code,
            self._message(code, answer.message if answer else ""),
            http_status=answer.http_status if answer else None,
            error_code=answer.error_code if answer else None,
            attempts=self._history,
        )
        return self._record(outcome, self._enqueued_at)

    def _record(self, outcome: Outcome, enqueued_at: str) -> Record:
        return Record(
            outcome=outcome,
            enqueued_at=enqueued_at,
            feedback=self._feedback,
            cause=self._cause,
            probing=self._claim.probing,
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
    """Return an attempt without its time, to compare it with another."""
    return attempt.outcome, attempt.note, attempt.cause
