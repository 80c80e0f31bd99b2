"""What is done about a decision: an outcome, a look-up that leads to one, or another attempt."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final, Literal

from tasks.liveperson.answer import LONGEST_RETRY_AFTER_SECONDS, Answer, Kind
from tasks.liveperson.engagement import LookupFailed
from tasks.messages.job import Job
from tasks.messages.moment import now
from tasks.messages.result import Attempt
from tasks.prepare import read_visit, write_visit
from tasks.retry import (
    PROBE,
    UNRESOLVED,
    Again,
    Created,
    Decision,
    Fail,
    Hold,
    LookUp,
    Throttled,
    throttled_pause,
)
from tasks.shutdown import Shutdown, insist
from tasks.step import HELD_SECONDS, AtOnce, Ended, PutOff, Step, Turn
from tasks.store.answers import Defer, Lost, Replay
from tasks.store.ledger import Feedback, Ledger

# Pauses up to this long are waited for in the slot; longer ones in the broker, in seconds.
SHORT_PAUSE_SECONDS: Final = 1.0
# LivePerson: after a 429 a token is asked for again after 5 s at the earliest.
TOKEN_PAUSE_SECONDS: Final = 5.0
# A job of an account that is held comes back after this long at the earliest, in seconds.
HOLD_SECONDS: Final = 5.0


class FollowUp:
    """Does what was decided about an attempt."""

    def __init__(self, ledger: Ledger, shutdown: Shutdown) -> None:
        self._ledger = ledger
        self._shutdown = shutdown

    def do(self, turn: Turn, decision: Decision, *, looked: Answer | None = None) -> Step:
        """End the job, or let go of it until its next attempt. Raises Stopping.

        `looked` is what came of a look-up that told nothing.
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
            case Hold():
                return self._hold(turn, decision)
            case _:
                raise AssertionError(f"nobody decides so: {decision}")

    def _again(self, turn: Turn, decision: Again, looked: Answer | None) -> Step:
        """Let go of the job until its next attempt, or until it is looked for again."""
        self._renew(turn, decision.renew)
        after, cause = decision.after, turn.cause
        attempts = [replace(turn.attempt, note=decision.note)] if turn.attempt else []
        if decision.unresolved or not attempts:
            status = looked.http_status if looked else HTTPStatus.OK
            cause = looked.cause if looked else "Monitoring: no open conversation"
            attempts.append(Attempt(at=now(), http_status=status, outcome=UNRESOLVED, cause=cause))
        is_short = after <= SHORT_PAUSE_SECONDS
        step = AtOnce(after) if is_short else PutOff(after, "retry", cause)
        # Whoever tries for all has not ended its try before it has sent a new token.
        feedback = "" if decision.renew is not None and is_short else turn.feedback
        return (
            self._release(turn, attempts, feedback=feedback, due=after, waits_for="retry") or step
        )

    def _renew(self, turn: Turn, stale: Literal["app", "consumer"] | None) -> None:
        ready = turn.prepared.ready
        if stale is not None and ready is not None:
            insist(
                lambda: turn.account.client.renew(ready.tokens, stale), until=self._shutdown.over
            )

    def _hold(self, turn: Turn, decision: Hold) -> Step:
        """Hold the account for what an attempt met; the job comes back to be tried again."""
        self._renew(turn, decision.renew)
        if decision.note != PROBE and turn.answer is not None:
            turn = replace(turn, answer=replace(turn.answer, kind=Kind.CREDENTIALS))
        attempts = [replace(turn.attempt, note=decision.note)] if turn.attempt else []
        return self._held(turn, attempts, turn.feedback, turn.cause)

    def _hold_look_up(self, turn: Turn, refused: Answer) -> Step:
        """Hold the account for what a look-up met; what was sent before it stays as it was."""
        attempts = [turn.attempt] if turn.attempt else []
        attempts.append(
            Attempt(
                at=now(),
                http_status=refused.http_status,
                outcome=UNRESOLVED,
                cause=refused.cause,
                note=PROBE,
            )
        )
        feedback: Feedback = turn.feedback if turn.sent else "credentials"
        return self._held(turn, attempts, feedback, refused.cause)

    def _held(
        self, turn: Turn, attempts: Sequence[Attempt], feedback: Feedback, cause: str
    ) -> Step:
        if [_outline(one) for one in attempts] == [_outline(x) for x in turn.claim.history[-1:]]:
            attempts = []  # hours of a hold are one attempt
        why = "circuit" if feedback in {"failed", "barred"} else "credentials"
        # Until it is lined up: its consumer stays locked for at least as long as it can be away.
        other = self._release(
            turn,
            attempts,
            feedback=feedback,
            cause=cause,
            due=LONGEST_RETRY_AFTER_SECONDS,
            waits_for=why,
        )
        if other is not None:
            return other
        asked = time.monotonic()
        found = self._line_up(turn, HOLD_SECONDS, why)
        turn.account.hold.begins(found.why, cause=cause, seconds=found.seconds, asked=asked)
        return PutOff(found.seconds, why, cause)

    def _line_up(self, turn: Turn, at_least: float, why: str) -> Defer:
        """Return when the job comes back: one by one, since all that met a pause come after it."""
        return insist(
            lambda: self._ledger.put_off(
                turn.work.job, ceiling=turn.account.ceiling, at_least=at_least, waits_for=why
            ),
            until=self._shutdown.over,
        )

    def _look_up(self, turn: Turn, decision: LookUp) -> Step:
        """Ask the Monitoring API for the consumer's open conversation."""
        visit = read_visit(turn.prepared.visit or turn.claim.visit)
        try:
            found = turn.account.client.find_open_conversation(
                turn.work.job.consumer_id, visit=visit
            )
        except LookupFailed as failure:
            prepared = replace(turn.prepared, visit=write_visit(failure.visit))
            turn = replace(turn, prepared=prepared)
            if failure.answer.kind is Kind.CREDENTIALS and not turn.claim.alone:
                return self._hold_look_up(turn, failure.answer)
            return self.do(turn, decision.unaskable, looked=failure.answer)
        if found is None:
            return self.do(turn, decision.otherwise)
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
        """Let the job wait after a 429; the pool waits only if the limiter says so.

        One for a token has a pause of its own.
        """
        asked = turn.answer.retry_after if turn.answer else None
        retry_after = min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        pause = retry_after
        if turn.sent:
            # Jobs that were refused together come back one by one.
            spread = 1 + random.random()  # noqa: S311 - no secret
            pause = max(retry_after, throttled_pause(turn.history) * spread)
        attempts = [turn.attempt] if turn.attempt and not self._is_repeated(turn) else []
        is_put_off = turn.sent and pause > 2 * SHORT_PAUSE_SECONDS
        other = self._release(
            turn,
            attempts,
            retry_after=retry_after,
            due=pause,
            waits_for="throttled" if is_put_off else "",
        )
        if other is not None:
            return other
        if turn.sent:
            return PutOff(pause, "throttled", turn.cause) if is_put_off else AtOnce(pause)
        why = "throttled before sending"
        found = self._line_up(turn, max(pause, TOKEN_PAUSE_SECONDS), why)
        return PutOff(found.seconds, found.why or why, found.cause or turn.cause)

    def _is_repeated(self, turn: Turn) -> bool:
        """Tell whether a job is kept from being sent once more: hours of that are one attempt."""
        history = turn.claim.history
        return not turn.sent and bool(history) and history[-1].outcome == Kind.THROTTLED

    def _release(
        self,
        turn: Turn,
        attempts: Sequence[Attempt],
        *,
        feedback: Feedback | None = None,
        cause: str = "",
        retry_after: float = 0,
        due: float = 0,
        waits_for: str = "",
    ) -> Step | None:
        """Let go of the job; return what another delivery made of it, if one did."""
        work = turn.work
        recorded = insist(
            lambda: self._ledger.release(
                work.job,
                work.owner,
                attempts=attempts,
                feedback=turn.feedback if feedback is None else feedback,
                cause=cause or turn.cause,
                retry_after=retry_after,
                visit=turn.prepared.visit,
                earlier=turn.claim.history,
                due=due,
                waits_for=waits_for,
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


def _outline(attempt: Attempt) -> tuple[str, str, str]:
    """Return what an attempt came to, without its time."""
    return attempt.outcome, attempt.note, attempt.cause
