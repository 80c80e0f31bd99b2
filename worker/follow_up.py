"""What is done about a decision: an outcome, a look-up that leads to one, or another attempt."""

from __future__ import annotations

from typing import Final

from worker.liveperson.answer import CallFailed
from worker.messages.job import Job
from worker.retry import Again, Created, Decision, Fail, LookUp
from worker.shutdown import Shutdown, insist
from worker.step import HELD_SECONDS, AtOnce, Ended, PutOff, Step, Turn
from worker.store.answers import Lost, Replay
from worker.store.ledger import Ledger

# Pauses up to this long are waited for in the slot; longer ones in the broker, in seconds.
SHORT_PAUSE_SECONDS: Final = 1.0
# LivePerson: after a 429 a token is asked for again after 5 s at the earliest.
TOKEN_PAUSE_SECONDS: Final = 5.0
# A longer Retry-After than this is not believed, in seconds.
LONGEST_RETRY_AFTER_SECONDS: Final = 300.0


class FollowUp:
    """Does what was decided about an attempt."""

    def __init__(self, ledger: Ledger, shutdown: Shutdown) -> None:
        self._ledger = ledger
        self._shutdown = shutdown

    def do(self, turn: Turn, decision: Decision) -> Step:
        """End the job, or let go of it until its next attempt. Raises Stopping."""
        match decision:
            case Created() if turn.answer is not None:
                return Ended(turn, turn.opened("created", str(turn.answer.conversation_id)))
            case Fail(code):
                return Ended(turn, turn.failed(code))
            case LookUp():
                return self._look_up(turn, decision)
            case Again(after=after, renew=renew):
                if renew is not None and turn.prepared.ready is not None:
                    turn.account.client.renew(turn.prepared.ready.tokens, renew)
                step = AtOnce(after) if after <= SHORT_PAUSE_SECONDS else PutOff(after, "retry")
                return self._release(turn) or step
            case _:
                return self._throttled(turn)

    def _look_up(self, turn: Turn, decision: LookUp) -> Step:
        """Ask the Monitoring API for the consumer's open conversation."""
        try:
            found = turn.account.client.find_open_conversation(turn.work.job.consumer_id)
        except CallFailed:
            return self.do(turn, decision.unaskable)
        if found is None:
            return self.do(turn, decision.otherwise)
        if decision.of_another is not None and self._is_of_another(turn.work.job, found):
            return self.do(turn, decision.of_another)
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
        """Let go of the job; return what another delivery made of it, if one did."""
        work = turn.work
        recorded = insist(
            lambda: self._ledger.release(
                work.job,
                work.owner,
                attempt=turn.attempt,
                feedback=turn.feedback,
                retry_after=retry_after,
                visit=turn.prepared.visit,
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
