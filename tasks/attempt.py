"""One attempt at a job: prepared, begun in the ledger, sent, and decided about."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from tasks import retry
from tasks.account import Account
from tasks.follow_up import FollowUp
from tasks.liveperson.answer import OF_THE_ACCOUNT, Answer, is_taken
from tasks.messages.moment import now
from tasks.messages.outcome import failed
from tasks.messages.receive import Work
from tasks.permits import Permits
from tasks.prepare import Prepared, Ready, prepare
from tasks.retry import Decision, Policy
from tasks.shutdown import Shutdown, insist
from tasks.step import HELD_SECONDS, MESSAGES, PutOff, Step, Turn
from tasks.store.answers import (
    Beginning,
    Cancelled,
    Claim,
    Claimed,
    Conflict,
    Defer,
    Go,
    Held,
    Replay,
)

# Namespace of the ids that the two items of an attempt bear, so that no store need hold them.
ITEMS: Final = uuid.UUID("7b8b7f3e-52c5-4f0e-9a57-3c1f8d0f5a11")


class Attempts:
    """Makes attempts; each ends in an outcome to publish, or says when to go on."""

    def __init__(
        self,
        permits: Permits,
        follow_up: FollowUp,
        shutdown: Shutdown,
        *,
        accounts: Mapping[str, Account],
        policy: Policy,
        max_losses: int,
    ) -> None:
        self._permits = permits
        self._follow_up = follow_up
        self._shutdown = shutdown
        self._accounts = accounts
        self._policy = policy
        self._max_losses = max_losses

    def make(self, work: Work) -> Step:
        """Take a job one step further, with at most one request to open its conversation.

        Raises Stopping.
        """
        account = self._accounts[work.job.account_id]
        with self._permits.seat(work) as seated:
            if not seated:
                wait = self._permits.put_off(work, account)
                return PutOff(wait.seconds, wait.why, wait.cause)
            return self._make(work, account)

    def _make(self, work: Work, account: Account) -> Step:
        visit = ""
        if work.job.engagement is not None:
            # The Monitoring API counts visits, so one delivery at a time asks it.
            begun = self._permits.claim(work, account)
            if not isinstance(begun, Claimed | Cancelled):
                return _elsewhere(begun, work)
            visit = begun.claim.visit
        if work.is_expired(datetime.now(UTC)):
            prepared = Prepared(visit=visit)
        else:
            prepared = insist(
                lambda: prepare(work, account, visit=visit), until=self._shutdown.draining
            )
        if prepared.visit != visit:
            # Kept at once: no permit may be to be had, and then no attempt is written down.
            self._permits.claim(work, account, visit=prepared.visit)
        begun = self._begin(work, account, prepared)
        at = now()
        answer, is_sent = prepared.refusal, False
        match begun:
            case Go(claim) if prepared.ready is not None and not work.is_expired(datetime.now(UTC)):
                answer, is_sent = _send(work, account, claim, prepared.ready), True
                decision = self._decide(work, claim, answer)
            case Go(claim) | Claimed(claim) | Cancelled(claim):
                is_cancelled = isinstance(begun, Cancelled)
                decision = self._unsent(work, claim, answer, is_cancelled=is_cancelled)
            case _:
                return _elsewhere(begun, work)
        if claim.probing and is_sent and answer is not None and is_taken(answer.kind):
            account.hold.ends(asked=time.monotonic())
        turn = Turn(
            work=work,
            account=account,
            claim=claim,
            at=at,
            prepared=prepared,
            sent=is_sent,
            answer=answer,
        )
        return self._follow_up.do(turn, decision)

    def _begin(self, work: Work, account: Account, prepared: Prepared) -> Beginning:
        """Claim the job, with a permit if it can be sent."""
        if prepared.ready is not None and not work.is_expired(datetime.now(UTC)):
            return self._permits.begin(work, account)
        refusal = prepared.refusal
        failing = refusal is not None and refusal.kind in OF_THE_ACCOUNT
        return self._permits.claim(work, account, failing=failing)

    def _decide(self, work: Work, claim: Claim, answer: Answer) -> Decision:
        return retry.decide(
            answer,
            claim.history,
            policy=self._policy,
            reuse=_reuses(work),
            alone=claim.alone,
            probing=claim.probing,
        )

    def _unsent(
        self, work: Work, claim: Claim, answer: Answer | None, *, is_cancelled: bool
    ) -> Decision:
        """Decide about a job that is ours but was not sent."""
        history, policy = claim.history, self._policy
        if is_cancelled:
            return retry.conclude("cancelled", history, policy=policy)
        if work.is_expired(datetime.now(UTC)):
            return retry.conclude("expired", history, policy=policy)
        if claim.losses > self._max_losses:
            return retry.conclude("internal_error", history, policy=policy)
        if retry.is_unresolved(history):
            return retry.look_again(history, policy=policy, reuse=_reuses(work))
        if answer is not None:
            return self._decide(work, claim, answer)
        # What is left is that nothing may be repeated after an attempt of unknown fate.
        return retry.conclude("in_doubt", history, policy=policy)


def _reuses(work: Work) -> bool:
    return work.job.on_open_conversation == "reuse"


def _send(work: Work, account: Account, claim: Claim, ready: Ready) -> Answer:
    name = f"{work.job.account_id}/{work.job.job_id}/{claim.sent}"
    return account.client.create(
        work.job,
        ready.tokens,
        profile_id=str(uuid.uuid5(ITEMS, f"{name}/profile")),
        conversation_id=str(uuid.uuid5(ITEMS, f"{name}/conversation")),
        conversation=ready.conversation,
    )


def _elsewhere(begun: Beginning, work: Work) -> Step:
    """Answer for a job that this delivery does not get to work on."""
    match begun:
        case Replay(outcome):
            return outcome
        case Defer(seconds, why, cause):
            return PutOff(seconds, why, cause)
        case Held():
            return PutOff(HELD_SECONDS, "held")
        case Conflict():
            return failed(work.job, work.document, code="conflict", message=MESSAGES["conflict"])
        case _:
            raise AssertionError(f"the ledger began a job in an unforeseen way: {begun}")
