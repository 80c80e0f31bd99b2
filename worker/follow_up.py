"""What is done about a decision: an outcome, a look-up that leads to one, or another attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from worker.liveperson.answer import LONGEST_RETRY_AFTER_SECONDS, Kind
from worker.liveperson.engagement import LookupFailed
from worker.messages.job import Job
from worker.messages.moment import now
from worker.messages.result import Attempt
from worker.preparing import read_visit, write_visit
from worker.retry import UNRESOLVED, Again, Created, Decision, Fail, LookUp, Throttled
from worker.shutdown import Shutdown, insist
from worker.step import HELD_SECONDS, AtOnce, Ended, PutOff, Step, Turn
from worker.store.answers import Lost, Replay
from worker.store.ledger import Ledger

# Pauses up to this long are waited for in the slot; longer ones in the broker, in seconds.
SHORT_PAUSE_SECONDS: Final = 1.0
# LivePerson: after a 429 a token is asked for again after 5 s at the earliest.
TOKEN_PAUSE_SECONDS: Final = 5.0


class FollowUp:
    """Does what was decided about an attempt."""

    def __init__(self, ledger: Ledger, shutdown: Shutdown) -> None:
        self._ledger = ledger
        self._shutdown = shutdown

    def do(self, turn: Turn, decision: Decision, *, looked: int | None = None) -> Step:
        """End the job, or let go of it until its next attempt. Raises Stopping.

        `looked` is the HTTP status of a look-up that told nothing.
        """
        match decision:
            case Created() if turn.answer is not None:
                return Ended(turn, turn.opened("created", str(turn.answer.conversation_id)))
            case Fail(code):
                return Ended(turn, turn.failed(code))
            case LookUp():
                return self._look_up(turn, decision)
            case Again():
                return self._again(turn, decision, looked)
            case Throttled():
                return self._throttled(turn)
            case _:
                raise AssertionError(f"nobody decides so: {decision}")

    def _again(self, turn: Turn, decision: Again, looked: int | None) -> Step:
        """Let go of the job until its next attempt, or until it is looked for again."""
        after, renew, ready = decision.after, decision.renew, turn.prepared.ready
        if renew is not None and ready is not None:
            insist(
                lambda: turn.account.client.renew(ready.tokens, renew), until=self._shutdown.over
            )
        attempts = [turn.attempt] if turn.attempt else []
        if decision.unresolved or not attempts:
            attempts.append(Attempt(at=now(), http_status=looked, outcome=UNRESOLVED))
        step = AtOnce(after) if after <= SHORT_PAUSE_SECONDS else PutOff(after, "retry")
        return self._release(turn, attempts, due=after) or step

    def _look_up(self, turn: Turn, decision: LookUp) -> Step:
        """Ask the Monitoring API for the consumer's open conversation."""
        visit = read_visit(turn.prepared.visit or turn.claim.visit)
        try:
            found = turn.account.client.find_open_conversation(
                turn.work.job.consumer_id, visit=visit
            )
        except LookupFailed as failure:
            prepared = replace(turn.prepared, visit=write_visit(failure.visit))
            turn, looked = replace(turn, prepared=prepared), failure.answer.http_status
            return self.do(turn, decision.unaskable, looked=looked)
        if found is None:
            return self.do(turn, decision.otherwise, looked=HTTPStatus.OK)
        if decision.of_another is not None:
            opener = self._opener(turn.work.job, found)
            if opener not in {"", turn.work.job.job_id}:
                return self.do(turn, decision.of_another)
            if not opener and turn.claim.is_doubted:
                # Another job's request may have opened it as well as ours: nobody can tell.
                told = isinstance(decision.of_another, LookUp)
                return self.do(turn, decision.of_another if told else Fail("in_doubt"))
        return Ended(turn, turn.opened(decision.found, found, resolved_by="monitoring"))

    def _opener(self, job: Job, conversation_id: str) -> str:
        """Return the id of the job that a conversation was opened for, if that is known."""
        return insist(
            lambda: self._ledger.opener(job.account_id, conversation_id), until=self._shutdown.over
        )

    def _throttled(self, turn: Turn) -> Step:
        """Pause the whole pool after a 429; one for a token has a pause of its own."""
        asked = turn.answer.retry_after if turn.answer else None
        pause = min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        attempts = [turn.attempt] if turn.attempt and not self._is_repeated(turn) else []
        other = self._release(turn, attempts, retry_after=pause, due=pause)
        if other is not None:
            return other
        if turn.sent:
            return AtOnce(0)
        # One by one: all of those that met the pause would ask together after it.
        place = insist(
            lambda: self._ledger.put_off(turn.work.job, ceiling=turn.account.ceiling),
            until=self._shutdown.over,
        )
        return PutOff(max(pause, TOKEN_PAUSE_SECONDS) + place, "throttled before sending")

    def _is_repeated(self, turn: Turn) -> bool:
        """Tell whether a job is kept from being sent once more: hours of that are one attempt."""
        history = turn.claim.history
        return not turn.sent and bool(history) and history[-1].outcome == Kind.THROTTLED

    def _release(
        self, turn: Turn, attempts: Sequence[Attempt], *, retry_after: float = 0, due: float = 0
    ) -> Step | None:
        """Let go of the job; return what another delivery made of it, if one did."""
        work = turn.work
        recorded = insist(
            lambda: self._ledger.release(
                work.job,
                work.owner,
                attempts=attempts,
                feedback=turn.feedback,
                retry_after=retry_after,
                visit=turn.prepared.visit,
                earlier=turn.claim.history,
                due=due,
            ),
            until=self._shutdown.over,
        )
        turn.account.gate.freed()
        match recorded:
            case Replay(outcome):
                return outcome
            case Lost():
                return PutOff(HELD_SECONDS, "taken over")
            case None:
                return None
