"""The ledger: who works on a job, what was sent for it, and what came of it.

A job is `claimed`, then `sending` (written before the request leaves), then `waiting` for its next
attempt or `done`, and `published` once the broker has its outcome. The store's scripts make each
step in one round trip, and take the limiter's permit with it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from redis import Redis

from tasks.messages.job import Job
from tasks.messages.json_text import dumps_compact
from tasks.messages.outcome import Outcome
from tasks.messages.outgoing import now
from tasks.messages.result import Attempt
from tasks.store.answers import Beginning, Defer, Lost, Replay, Wait, beginning, ended
from tasks.store.batches import ScriptBatches
from tasks.store.connection import LIMITER, MILLISECONDS, Keys, StoreError, script, text, together
from tasks.store.finished import consumer_note, note_name, pack, read_note, short_digest, write_note
from tasks.store.limits import log_learned
from tasks.store.records import look_up

# A claim that was not renewed for so long is over, whatever its worker says, in seconds.
CLAIM_SECONDS: Final = 120.0
# A job without an outcome is remembered for so long at least, in seconds: longer than any pause.
OPEN_SECONDS: Final = 7 * 86_400.0
DAY_SECONDS: Final = 86_400
# In-flight permits outlive the longest call by this much, in seconds.
FLIGHT_MARGIN_SECONDS: Final = 5.0

# What the limiter learns: nothing, or that LivePerson took a request, refused it for its pace, gave
# no answer, or said no to the account: to whoever asks, or to its credentials.
Feedback = Literal["", "ok", "throttled", "failed", "barred", "credentials"]
# What a job is begun for: to be made ready, to be sent, or neither; or nothing could make it ready.
Purpose = Literal["prepare", "send", "claim", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What an account may ask of LivePerson: conversations per second, and requests in flight."""

    rate: float
    in_flight: int


class Ledger:
    """The ledger in the store. Every method raises StoreError where the store is away."""

    def __init__(
        self,
        store: Redis,
        *,
        dedupe_seconds: float,
        flight_seconds: float,
        max_losses: int,
        repeat_unknown: bool,
        copies: int = 0,
    ) -> None:
        """Finished jobs are remembered for `dedupe_seconds`; no call takes over `flight_seconds`.

        As many replicas as `copies` must have what is written before a request leaves, and
        before an outcome is published.

        A job that `max_losses` workers were lost with is claimed, but not sent again; nor is one
        of unknown outcome, unless `repeat_unknown`.
        """
        self._max_losses = max_losses
        self._repeat_unknown = repeat_unknown
        self._record_ms = int(dedupe_seconds * MILLISECONDS)
        self._flight_ms = int((flight_seconds + FLIGHT_MARGIN_SECONDS) * MILLISECONDS)
        self._open_ms = max(self._record_ms, int(OPEN_SECONDS * MILLISECONDS))
        # As `begin` was last told of each account, for a store that has been emptied since.
        self._ceilings: dict[str, Ceiling] = {}
        self._store = store
        self._batches = ScriptBatches(store, copies=copies)
        self._begin = together(store, "record", "submission", "opened", "begin")
        self._finish = together(store, "record", "submission", "opened", "finish")
        self._put_off = script(store, *LIMITER, "record", "submission", "opened", "put_off")
        self._wait = script(store, "clock", "record", "submission", "opened", "wait")
        self._published = script(store, "published")
        self._abandon = script(store, "record", "abandon")
        self._opener = script(store, "clock", "opened", "opener")

    def begin(
        self,
        job: Job,
        owner: str,
        *,
        ceiling: Ceiling,
        purpose: Purpose,
        slot: float = 0,
        dead_owner: str = "",
        visit: str = "",
        patience: float,
    ) -> Beginning | Wait:
        """Claim the job and, to `send` it, take a permit and write the attempt down.

        A job that did `fail` to be made ready is claimed, unless its account's circuit is open, so
        that it waits instead of using up an attempt. What is paused waits as well, unless it is to
        be claimed and no more. `slot` is the one an earlier Wait booked; `dead_owner` may be taken
        over; `visit` is kept for the job's next attempt, and for the consumer's next job unless
        that names a visitor itself; a wait of more than `patience` seconds becomes a Defer.
        """
        keys = Keys(job.account_id)
        asked = {
            "owner": owner,
            "digest": short_digest(job),
            "job_id": job.job_id,
            "submission": job.submission_id or "",
            "purpose": purpose,
            "dead": dead_owner,
            "at": now(),
            "rate": ceiling.rate,
            "cap": ceiling.in_flight,
            "slot": slot,
            "flight_ms": self._flight_ms,
            "lease_ms": int(CLAIM_SECONDS * MILLISECONDS),
            "record_ms": self._open_ms,
            "patience": patience * MILLISECONDS,
            "max_losses": self._max_losses,
            "repeat_unknown": self._repeat_unknown,
            "visit": visit,
        }
        names = [
            keys.job(job.job_id),
            keys.old_job(job.job_id),
            keys.consumer(job.consumer_id),
            keys.limit,
            keys.in_flight,
            keys.doubts(job.consumer_id),
            keys.tally(job.submission_id),
            keys.submissions,
            keys.paused,
            keys.consumers,
        ]
        if job.engagement is not None and job.engagement.visitor_id is None:
            names.append(keys.visit(job.consumer_id))
        self._ceilings[job.account_id] = ceiling
        arguments = [dumps_compact(asked), consumer_note(job.consumer_id, job.job_id)]
        copied = purpose == "send"
        return beginning(job, self._batches.call(self._begin, names, arguments, copied=copied))

    def finish(
        self,
        job: Job,
        owner: str,
        *,
        outcome: Outcome,
        feedback: Feedback = "",
        cause: str = "",
        then: Callable[[Replay | Lost], None],
    ) -> None:
        """Record the outcome and free what the job held; the store gets it when it can.

        `then` is called, in another thread, with the outcome to publish, which is another's if that
        came first.
        """
        names, args = self._ending(
            job, owner, "done", outcome=outcome, feedback=feedback, cause=cause
        )

        def answered(answer: Any) -> None:
            if isinstance(answer, StoreError):
                # Nothing is written down, so the job comes back, with a request of unknown fate.
                self.abandon(job, owner)
                then(Lost())
                return
            log_learned(job.account_id, answer)
            then(ended(job, answer) or Replay(outcome))

        self._batches.post(self._finish, names, args, answered, copied=True)

    def release(
        self,
        job: Job,
        owner: str,
        *,
        attempts: Sequence[Attempt] = (),
        feedback: Feedback = "",
        cause: str = "",
        retry_after: float = 0,
        visit: str = "",
        earlier: Sequence[Attempt] = (),
        due: float = 0,
        waits_for: str = "",
    ) -> Replay | Lost | None:
        """Let the job wait for its next attempt; those that settled nothing are recorded.

        `cause` says why the call failed, if it did. `earlier` attempts are recorded too, if the
        store has forgotten the job meanwhile. The job is `due` back in so many seconds, if it
        `waits_for` something.
        """
        names, args = self._ending(
            job,
            owner,
            "again",
            attempts=attempts,
            feedback=feedback,
            cause=cause,
            retry_after=retry_after,
            visit=visit,
            earlier=earlier,
            due=due,
            waits_for=waits_for,
        )
        answer = self._batches.call(self._finish, names, args)
        log_learned(job.account_id, answer)
        return ended(job, answer)

    def abandon(self, job: Job, owner: str) -> None:
        """End the claim after an error of our own: the job counts as lost to its next delivery."""
        names = [Keys(job.account_id).job(job.job_id)]
        self._batches.post(self._abandon, names, [owner], lambda _: None)

    def opener(self, account_id: str, conversation_id: str) -> str:
        """Return the id of the job that a conversation was opened for; empty if none is known."""
        keys = Keys(account_id)
        names = [keys.opened, keys.old_conversation(conversation_id)]
        days = math.ceil(self._record_ms / MILLISECONDS / DAY_SECONDS) + 1
        note, old = self._opener(names, [note_name(conversation_id), days])
        return read_note(note) if note else text(old)

    def opened_with(self, account_id: str, conversation_id: str) -> dict[str, Any] | None:
        """Return the client properties that a conversation was opened with, if they are known."""
        job_id = self.opener(account_id, conversation_id)
        record = look_up(self._store, account_id, job_id) if job_id else None
        outcome = record.get("outcome") if record else None
        properties: dict[str, Any] | None = outcome.get("clientProperties") if outcome else None
        return properties

    def put_off(self, job: Job, *, ceiling: Ceiling, waits_for: str, at_least: float = 0) -> Defer:
        """Return when a job may come back that nobody has a slot for, and what holds its account.

        `waits_for` is written down where nobody has the job; `at_least` is in seconds.
        """
        keys = Keys(job.account_id)
        args: list[Any] = [
            ceiling.rate,
            ceiling.in_flight,
            at_least * MILLISECONDS,
            waits_for,
            self._open_ms,
            job.submission_id or "",
            consumer_note(job.consumer_id, job.job_id),
        ]
        names = [
            keys.limit,
            keys.job(job.job_id),
            keys.old_job(job.job_id),
            keys.tally(job.submission_id),
            keys.submissions,
            keys.paused,
            keys.consumers,
        ]
        found = self._put_off(names, args)
        return Defer(float(found[0]) / MILLISECONDS, text(found[1]), text(found[2]))

    def note_wait(self, job: Job, *, seconds: float, waits_for: str) -> None:
        """Note of a job that is not begun yet until when it waits, and for what."""
        keys = Keys(job.account_id)
        args: list[Any] = [
            seconds * MILLISECONDS,
            waits_for,
            self._open_ms,
            job.submission_id or "",
            consumer_note(job.consumer_id, job.job_id),
        ]
        names = [
            keys.job(job.job_id),
            keys.old_job(job.job_id),
            keys.tally(job.submission_id),
            keys.submissions,
            keys.consumers,
        ]
        self._batches.call(self._wait, names, args)

    def mark_published(self, account_id: str, job_id: str) -> None:
        """Write down that the broker has the outcome; the store gets it when it can."""
        self._batches.gather(self._published, Keys(account_id).job(job_id), group=account_id)

    def close(self, *, seconds: float) -> None:
        """Wait until the store has what it was yet to be told, for at most so many seconds."""
        self._batches.flush(self._published, seconds=seconds)

    def _ending(
        self,
        job: Job,
        owner: str,
        verb: str,
        *,
        attempts: Sequence[Attempt] = (),
        outcome: Outcome | None = None,
        feedback: Feedback = "",
        cause: str = "",
        retry_after: float = 0,
        visit: str = "",
        earlier: Sequence[Attempt] = (),
        due: float = 0,
        waits_for: str = "",
    ) -> tuple[list[str], list[bytes]]:
        keys = Keys(job.account_id)
        ceiling = self._ceilings.get(job.account_id)
        told = {
            "owner": owner,
            "job_id": job.job_id,
            "digest": short_digest(job),
            "submission": job.submission_id or "",
            "verb": verb,
            "attempts": _written(attempts),
            "earlier": _written(earlier),
            "feedback": feedback,
            "cause": cause,
            "retry_after_ms": retry_after * MILLISECONDS,
            **({"rate": ceiling.rate, "cap": ceiling.in_flight} if ceiling else {}),
            "record_ms": self._record_ms if outcome else self._open_ms,
            "count": outcome.count if outcome else "",
            "visit": visit,
            "due_ms": due * MILLISECONDS,
            "waits_for": waits_for,
        }
        args = [dumps_compact(told)]
        names = [
            keys.job(job.job_id),
            keys.consumer(job.consumer_id),
            keys.limit,
            keys.in_flight,
            keys.counts,
            keys.doubts(job.consumer_id),
            keys.tally(job.submission_id),
            keys.submissions,
            keys.ended(job.submission_id, today()),
            keys.consumers,
        ]
        if outcome:
            args += [pack(job, outcome), consumer_note(job.consumer_id, job.job_id)]
            if outcome.created_id:
                names.append(keys.opened)
                args += [note_name(outcome.created_id), write_note(job.job_id)]
        return names, args


def today() -> int:
    """Return the day by this machine's clock, counted from 1970 (UTC)."""
    return int(time.time() // DAY_SECONDS)


def _written(attempts: Sequence[Attempt]) -> str:
    return ",".join(json.dumps(attempt.to_record()) for attempt in attempts)
