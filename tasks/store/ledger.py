"""The ledger: which worker has a job, what was sent for it, and how it ended.

A job is `claimed`, then `sending` (recorded before the request leaves), then `waiting` for its next
attempt or `done`, and `published` once the broker has its outcome. A script does each of these
steps in one round trip, together with the limiter's permit.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import orjson
from redis import Redis

from tasks.messages.attempt import Attempt
from tasks.messages.job import Job
from tasks.messages.outcome import Outcome
from tasks.messages.outgoing import now
from tasks.store.answers import Beginning, Defer, Lost, Recorded, Wait, beginning, ended
from tasks.store.batches import ScriptBatches
from tasks.store.connection import LIMITER, MILLISECONDS, Keys, script, text, together
from tasks.store.finished import consumer_note, note_name, pack, read_note, short_digest, write_note
from tasks.store.limits import log_learned
from tasks.store.records import look_up

# A claim that is not renewed ends after this, even if its worker is alive.
CLAIM_SECONDS: Final = 120.0
# How long a job without an outcome is kept at least: longer than any retry delay.
OPEN_SECONDS: Final = 7 * 86_400.0
DAY_SECONDS: Final = 86_400
# The furthest ahead that a permit's time is booked.
MAX_AHEAD_SECONDS: Final = 1.0
# In-flight permits outlive the longest call by this much.
FLIGHT_MARGIN_SECONDS: Final = 5.0

# What the limiter is told: nothing, or that LivePerson accepted a request, answered 429, did not
# answer, refused the account ("barred"), or refused its credentials.
Feedback = Literal["", "ok", "throttled", "failed", "barred", "credentials"]
# Why a job is begun: to prepare its request, to send it, or only to claim it; "fail": preparing
# failed.
Purpose = Literal["prepare", "send", "claim", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The configured limits of an account: conversations per second, and requests in flight."""

    rate: float
    in_flight: int


class Ledger:
    """The ledger in the store. Every method raises StoreError while the store is away."""

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
        """Finished jobs are kept for `dedupe_seconds`; no call lasts longer than `flight_seconds`.

        `copies` is how many replicas must confirm a write before a request leaves, and before an
        outcome is published. A job with more than `max_losses` lost workers is claimed, but not
        sent again; without `repeat_unknown`, neither is one with an attempt of unknown fate.
        """
        self._max_losses = max_losses
        self._repeat_unknown = repeat_unknown
        self._record_ms = int(dedupe_seconds * MILLISECONDS)
        self._flight_ms = int((flight_seconds + FLIGHT_MARGIN_SECONDS) * MILLISECONDS)
        self._open_ms = max(self._record_ms, int(OPEN_SECONDS * MILLISECONDS))
        # Each account's ceiling in the last `begin`, for a store that has lost its memory since.
        self._ceilings: dict[str, Ceiling] = {}
        self._store = store
        self._keys = cache(Keys)
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
        booked: float = 0,
        dead_owner: str = "",
        visit: str = "",
        patience: float,
        ahead: float = MAX_AHEAD_SECONDS,
    ) -> Beginning | Wait:
        """Claim the job and, to `send` it, take a permit and record the attempt.

        A job whose preparation did `fail` is claimed, unless the circuit is open: then it waits
        without using up a retry. A paused job waits too, unless the purpose is `claim`. `booked` is
        the time that an earlier Wait booked. A claim of `dead_owner` may be taken over. `visit` is
        kept for the job's next attempt, and for the consumer's next job unless that names a
        visitor. A wait of more than `patience` seconds becomes a Defer. A time is booked that is at
        most `ahead` seconds away.
        """
        keys = self._keys(job.account_id)
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
            "booked": booked,
            "flight_ms": self._flight_ms,
            "lease_ms": int(CLAIM_SECONDS * MILLISECONDS),
            "record_ms": self._open_ms,
            "patience": patience * MILLISECONDS,
            "ahead": min(patience, ahead) * MILLISECONDS,
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

        def arguments() -> list[bytes]:
            return [orjson.dumps(asked), consumer_note(job.consumer_id, job.job_id)]

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
        then: Callable[[Recorded | Lost], None],
    ) -> None:
        """Record the outcome and release the job's claim, lock and permit, in the background.

        `then` is called in another thread, with the outcome to publish: that of another delivery,
        if it was recorded first.
        """
        names, args = self._ending(
            job, owner, "done", outcome=outcome, feedback=feedback, cause=cause
        )

        def answered(answer: Any) -> None:
            if isinstance(answer, Exception):
                # The outcome is not recorded: the job comes back with a request of unknown fate.
                self.abandon(job, owner)
                then(Lost())
                return
            log_learned(job.account_id, answer)
            then(ended(job, answer) or Recorded(outcome))

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
    ) -> Recorded | Lost | None:
        """Release the job until its next attempt, and record its `attempts` so far.

        `cause` says why the call failed, if it did. `earlier` attempts are recorded too, if the
        store has lost the job meanwhile. With `waits_for`, the job is `due` in that many seconds.
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
        """End the claim after a bug of ours: the next delivery counts one lost worker."""
        names = [self._keys(job.account_id).job(job.job_id)]
        self._batches.post(self._abandon, names, [owner], lambda _: None)

    def opener(self, account_id: str, conversation_id: str) -> str:
        """Return the id of the job that a conversation was opened for; empty if unknown."""
        keys = self._keys(account_id)
        names = [keys.opened, keys.old_conversation(conversation_id)]
        days = math.ceil(self._record_ms / MILLISECONDS / DAY_SECONDS) + 1
        note, old = self._opener(names, [note_name(conversation_id), days])
        return read_note(note) if note else text(old)

    def opened_with(self, account_id: str, conversation_id: str) -> dict[str, Any] | None:
        """Return the client properties that a conversation was opened with; None if unknown."""
        job_id = self.opener(account_id, conversation_id)
        record = look_up(self._store, account_id, job_id) if job_id else None
        outcome = record.get("outcome") if record else None
        properties: dict[str, Any] | None = outcome.get("clientProperties") if outcome else None
        return properties

    def put_off(self, job: Job, *, ceiling: Ceiling, waits_for: str, at_least: float = 0) -> Defer:
        """Return when a job without a slot should come back, and what holds its account.

        `waits_for` is recorded unless a delivery has the job; `at_least` is in seconds.
        """
        keys = self._keys(job.account_id)
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
        """Record how long a job waits before it is begun, and for what."""
        keys = self._keys(job.account_id)
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
        """Record that the broker has the outcome, in the background."""
        self._batches.gather(self._published, self._keys(account_id).job(job_id), group=account_id)

    def close(self, *, seconds: float) -> None:
        """Flush pending writes; wait at most `seconds`."""
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
    ) -> tuple[list[str], Callable[[], list[bytes]]]:
        """Return the keys and arguments of finish.lua."""
        keys = self._keys(job.account_id)
        ceiling = self._ceilings.get(job.account_id)
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
        if outcome and outcome.created_id:
            names.append(keys.opened)

        def arguments() -> list[bytes]:
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
                "counter": outcome.counter if outcome else "",
                "visit": visit,
                "due_ms": due * MILLISECONDS,
                "waits_for": waits_for,
            }
            args = [orjson.dumps(told)]
            if outcome:
                args.extend((pack(job, outcome), consumer_note(job.consumer_id, job.job_id)))
                if outcome.created_id:
                    args.extend((note_name(outcome.created_id), write_note(job.job_id)))
            return args

        return names, arguments


def today() -> int:
    """Return the day by this machine's clock, counted from 1970 (UTC)."""
    return int(time.time() // DAY_SECONDS)


def _written(attempts: Sequence[Attempt]) -> str:
    return ",".join(json.dumps(attempt.to_record()) for attempt in attempts)
