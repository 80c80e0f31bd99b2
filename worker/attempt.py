"""One attempt at a job: tokens, claim and permit, the request, and what follows from its answer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from worker import retry
from worker.account import Account
from worker.liveperson.answer import Answer, CallFailed
from worker.liveperson.engagement import EngagementFailure, Visit
from worker.messages.job import Job
from worker.messages.moment import rfc3339
from worker.messages.outcome import failed
from worker.messages.receive import Work
from worker.permits import Permits
from worker.retry import Again, Created, Decision, Fail, LookUp, Policy
from worker.shutdown import Shutdown, insist
from worker.step import MESSAGES, NO_ANSWER, AtOnce, Ended, PutOff, Ready, Step, Turn
from worker.store.answers import (
    Beginning,
    Cancelled,
    Claim,
    Claimed,
    Conflict,
    Defer,
    Go,
    Held,
    Lost,
    Replay,
)
from worker.store.ledger import Ledger

# Pauses up to this long are waited for in the slot; longer ones in the broker, in seconds.
SHORT_PAUSE_SECONDS: Final = 1.0
# When to look again at a job that another delivery works on, in seconds.
HELD_SECONDS: Final = 3.0
# LivePerson: after a 429 a token is asked for again after 5 s at the earliest.
TOKEN_PAUSE_SECONDS: Final = 5.0
# A longer Retry-After than this is not believed, in seconds.
LONGEST_RETRY_AFTER_SECONDS: Final = 300.0
# LivePerson's pauses for the Monitoring API (page Engagement), in seconds.
MONITORING_SCHEDULE: Final = (3.0, 10.0, 30.0, 90.0)
# Namespace of the ids that the two items of an attempt bear, so that no store need hold them.
ITEMS: Final = uuid.UUID("7b8b7f3e-52c5-4f0e-9a57-3c1f8d0f5a11")


class Attempts:
    """Makes attempts; each ends in an outcome to publish, or says when to go on."""

    def __init__(
        self,
        ledger: Ledger,
        permits: Permits,
        shutdown: Shutdown,
        *,
        accounts: Mapping[str, Account],
        policy: Policy,
        max_losses: int,
    ) -> None:
        self._ledger = ledger
        self._permits = permits
        self._shutdown = shutdown
        self._accounts = accounts
        self._policy = policy
        self._monitoring = Policy(schedule=MONITORING_SCHEDULE)
        self._max_losses = max_losses

    def make(self, work: Work) -> Step:
        """Take a job one step further, with at most one request to open its conversation.

        Raises Stopping.
        """
        account = self._accounts[work.job.account_id]
        with self._permits.seat(work) as seated:
            if not seated:
                return PutOff(self._permits.put_off(work, account), "crowded")
            return self._make(work, account)

    def _make(self, work: Work, account: Account) -> Step:
        visit = ""
        if work.job.engagement is not None:
            # The Monitoring API counts visits, so one delivery at a time asks it.
            begun = self._permits.claim(work, account)
            if not isinstance(begun, Claimed | Cancelled):
                return self._elsewhere(begun, work)
            visit = begun.claim.visit
        ready, refusal, visit = insist(
            lambda: self._prepare(work, account, visit), until=self._shutdown.draining
        )
        if ready is not None and not work.is_expired(datetime.now(UTC)):
            begun = self._permits.begin(work, account)
        else:
            failing = refusal is not None and refusal.kind in NO_ANSWER
            begun = self._permits.claim(work, account, failing=failing)
        at = rfc3339(datetime.now(UTC))
        match begun:
            case Go(claim) if ready is not None:
                answer = self._send(work, account, claim, ready)
                turn = Turn(
                    work=work,
                    account=account,
                    claim=claim,
                    at=at,
                    sent=True,
                    ready=ready,
                    answer=answer,
                    visit=visit,
                )
                reuse = work.job.on_open_conversation == "reuse"
                decision = retry.decide(answer, claim.history, policy=self._policy, reuse=reuse)
            case Claimed(claim) | Cancelled(claim):
                turn = Turn(
                    work=work,
                    account=account,
                    claim=claim,
                    at=at,
                    sent=False,
                    ready=ready,
                    answer=refusal,
                    visit=visit,
                )
                decision = self._unsent(turn, cancelled=isinstance(begun, Cancelled))
            case _:
                return self._elsewhere(begun, work)
        return self._settle(turn, decision)

    def _prepare(
        self, work: Work, account: Account, visit: str
    ) -> tuple[Ready | None, Answer | None, str]:
        """Get what the request needs, or the answer that kept it from us."""
        job, client = work.job, account.client
        conversation = job.conversation
        try:
            tokens = client.tokens(job.consumer_id)
            if job.engagement is not None:
                known = Visit(*json.loads(visit)) if visit else None
                engaged = client.engage(job, known)
                conversation, visit = engaged.merged_into(conversation), _written(engaged.visit)
        except EngagementFailure as failure:
            return None, failure.answer, _written(failure.visit)
        except CallFailed as failure:
            return None, failure.answer, visit
        return Ready(tokens=tokens, conversation=conversation), None, visit

    def _send(self, work: Work, account: Account, claim: Claim, ready: Ready) -> Answer:
        name = f"{work.job.account_id}/{work.job.job_id}/{claim.sent}"
        return account.client.create(
            work.job,
            ready.tokens,
            profile_id=str(uuid.uuid5(ITEMS, f"{name}/profile")),
            conversation_id=str(uuid.uuid5(ITEMS, f"{name}/conversation")),
            conversation=ready.conversation,
        )

    def _unsent(self, turn: Turn, *, cancelled: bool) -> Decision:
        """Decide about a job that is ours but was not sent."""
        history = turn.claim.history
        if cancelled:
            return retry.conclude("cancelled", history)
        if turn.work.is_expired(datetime.now(UTC)):
            return retry.conclude("expired", history)
        if turn.answer is not None:
            engaged = turn.work.job.engagement is not None
            policy = self._monitoring if engaged else self._policy
            return retry.decide(turn.answer, history, policy=policy)
        if turn.claim.losses > self._max_losses:
            return retry.conclude("internal_error", history)
        return retry.conclude("in_doubt", history)

    def _settle(self, turn: Turn, decision: Decision) -> Step:
        match decision:
            case Created() if turn.answer is not None:
                return Ended(turn, turn.opened("created", str(turn.answer.conversation_id)))
            case Fail(code):
                return Ended(turn, turn.failed(code))
            case LookUp():
                return self._look_up(turn, decision)
            case Again(after=after, renew=renew):
                if renew is not None and turn.ready is not None:
                    turn.account.client.renew(turn.ready.tokens, renew)
                step = AtOnce(after) if after <= SHORT_PAUSE_SECONDS else PutOff(after, "retry")
                return self._release(turn) or step
            case _:
                return self._throttled(turn)

    def _look_up(self, turn: Turn, decision: LookUp) -> Step:
        """Ask the Monitoring API for the consumer's open conversation."""
        try:
            found = turn.account.client.find_open_conversation(turn.work.job.consumer_id)
        except CallFailed:
            return self._settle(turn, decision.unaskable)
        if found is None:
            return self._settle(turn, decision.otherwise)
        if decision.of_another is not None and self._is_of_another(turn.work.job, found):
            return self._settle(turn, decision.of_another)
        return Ended(turn, turn.opened(decision.found, found, resolved_by="monitoring"))

    def _is_of_another(self, job: Job, conversation_id: str) -> bool:
        opener = insist(
            lambda: self._ledger.opener(job.account_id, conversation_id), until=self._shutdown.over
        )
        return opener not in {"", job.job_id}

    def _throttled(self, turn: Turn) -> Step:
        """Pause the whole pool after a 429; one for a token has a pause of its own."""
        asked = turn.answer.retry_after if turn.answer else None
        pause = min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        other = self._release(turn, retry_after=pause)
        if other is not None:
            return other
        if turn.sent:
            return AtOnce(0)
        return PutOff(max(pause, TOKEN_PAUSE_SECONDS), "tokens throttled")

    def _release(self, turn: Turn, *, retry_after: float = 0) -> Step | None:
        work = turn.work
        recorded = insist(
            lambda: self._ledger.release(
                work.job,
                work.owner,
                attempt=turn.attempt,
                feedback=turn.feedback,
                retry_after=retry_after,
                keep_consumer=retry.was_unknown(turn.history),
                visit=turn.visit,
            ),
            until=self._shutdown.over,
        )
        turn.account.gate.freed()
        return _other(recorded)

    def _elsewhere(self, begun: Beginning, work: Work) -> Step:
        """Answer for a job that this delivery does not get to work on."""
        match begun:
            case Replay(outcome):
                return outcome
            case Defer(seconds, why):
                return PutOff(seconds, why)
            case Held():
                return PutOff(HELD_SECONDS, "held")
            case Conflict():
                return failed(
                    work.job, work.document, code="conflict", message=MESSAGES["conflict"]
                )
            case _:
                raise AssertionError(f"the ledger began a job in an unforeseen way: {begun}")


def _written(visit: Visit) -> str:
    """Write a visit as the ledger keeps it for the next attempt."""
    return json.dumps([visit.visitor_id, visit.session_id])


def _other(recorded: Replay | Lost | None) -> Step | None:
    """Return what another delivery made of the job, if one did."""
    match recorded:
        case Replay(outcome):
            return outcome
        case Lost():
            return PutOff(HELD_SECONDS, "taken over")
        case None:
            return None
