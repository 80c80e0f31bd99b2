"""All that a try at a job needs, in one process: the ledger in memory and a scripted LivePerson."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import pytest
from fakeredis import FakeServer

from tasks.account import Account
from tasks.attempt import Rules, Try
from tasks.line import Seats
from tasks.liveperson.client import LivePersonClient
from tasks.measures import UNMEASURED, Measures
from tasks.messages.attempt import Attempt
from tasks.messages.intake import Work
from tasks.messages.job import Job
from tasks.messages.outcome import Outcome
from tasks.permits import Permits
from tasks.retry import Policy
from tasks.steps import Soon, Step
from tasks.stopping import Shutdown
from tasks.store.answers import Claimed, Go
from tasks.store.brake import Brake
from tasks.store.connection import Keys
from tasks.store.finished import unpack
from tasks.store.ledger import Ceiling, Feedback, Ledger, Purpose
from tasks.store.pulse import GONE_MS, WORKER_PREFIX, Pulse
from tests.finishing import finish
from tests.jobs import ACCOUNT, make_job
from tests.ledger_records import recorded_fields
from tests.memory_store import memory_store
from tests.scripted_liveperson import ScriptedLivePerson
from tests.store_clock import StoreClock
from tests.waiting import wait_until

SCHEDULE: Final = (5.0, 10.0, 15.0, 120.0)
CEILING: Final = Ceiling(rate=1e6, in_flight=100)
# Workers that take part in no other way: one shows itself, the other was lost.
ALIVE: Final = "1-alive"
LOST: Final = "2-lost"
AT: Final = "2026-01-01T00:00:00.000Z"
# The outcome that another delivery has recorded.
RECORDED: Final = b'{"the":"recorded bytes"}'
# What was heard at an attempt that came to this.
STATUS: Final = {"already_open": 400, "throttled": 429, "not_served": 403, "unauthorized": 401}


class World:
    """A worker of one account, beside others; the store's clock stands still until it is set.

    With `careful` an unknown outcome is not repeated. A job is given up with its second loss.
    """

    def __init__(
        self,
        server: FakeServer,
        clock: StoreClock,
        pulse: Pulse,
        brake: Brake,
        *,
        careful: bool,
        slots: int,
        ceiling: Ceiling,
        measures: Measures,
    ) -> None:
        self.server = server
        self.store = clock.store
        self.clock = clock
        self.pulse = pulse
        self.brake = brake
        self.shutdown = Shutdown()
        self.live = ScriptedLivePerson()
        self.ledger = Ledger(
            self.store,
            dedupe_seconds=3600,
            flight_seconds=35,
            max_losses=1,
            repeat_unknown=not careful,
        )
        self.account = Account(client=cast("LivePersonClient", self.live), ceiling=ceiling)
        self.rules = Rules(
            ledger=self.ledger,
            permits=Permits(
                self.ledger,
                pulse,
                self.shutdown,
                seats=Seats(slots, shared=True),
                patience=1,
                measures=measures,
            ),
            brake=brake,
            shutdown=self.shutdown,
            policy=Policy(schedule=SCHEDULE, repeat_unknown=not careful),
            max_losses=1,
            measures=measures,
        )
        self.store.set(f"{WORKER_PREFIX}{ALIVE}", "", px=GONE_MS)

    def work(self, job: Job, document: dict[str, Any] | None = None) -> Work:
        """Hold one more delivery of a job."""
        return Work(
            job=job,
            document=document or {},
            owner=self.pulse.owner(),
            enqueued_at=None,
            not_before=None,
            expires_at=job.expires_at,
        )

    def expired(self, work: Work) -> Work:
        """Let a job's time be over."""
        return replace(work, expires_at=datetime.now(UTC) - timedelta(seconds=1))

    def try_once(self, work: Work) -> Step | Soon:
        """Make one try at it."""
        return Try(work, self.account, self.rules).make()

    def history(self, job: Job) -> tuple[str, ...]:
        """Return what the ledger keeps of a job's attempts, each with its note."""
        kept = self.field(job, "history")
        attempts = [Attempt.from_dict(one) for one in json.loads(f"[{kept}]")]
        return tuple(f"{one.outcome}:{one.note}".rstrip(":") for one in attempts)

    def field(self, job: Job, name: str) -> str:
        """Return a field of the ledger's record of a job; empty if it has none."""
        return str(recorded_fields(self.store, job.job_id).get(name, ""))

    def recorded(self, job: Job) -> bytes:
        """Return the outcome that the ledger would publish again."""
        record: Any = self.store.get(Keys(ACCOUNT).job(job.job_id))
        outcome = unpack(job, record)
        assert outcome is not None
        return outcome.body

    # What others did before

    def begin(
        self, job: Job, owner: str, *, purpose: Purpose = "send", dead_owner: str = ""
    ) -> None:
        """Have another delivery take a job."""
        begun = self.ledger.begin(
            job,
            owner,
            ceiling=self.account.ceiling,
            purpose=purpose,
            dead_owner=dead_owner,
            patience=1,
        )
        assert isinstance(begun, Go | Claimed), begun

    def end(
        self, job: Job, owner: str, *kinds: str, feedback: Feedback = "", cause: str = ""
    ) -> None:
        """Have it release the job after such attempts, each with its note: "unknown:probe"."""
        pairs = [kind.partition(":")[::2] for kind in kinds]
        attempts = [
            Attempt(at=AT, http_status=STATUS.get(kind), outcome=kind, note=note)
            for kind, note in pairs
        ]
        ended = self.ledger.release(job, owner, attempts=attempts, feedback=feedback, cause=cause)
        assert ended is None

    def finish(self, job: Job, owner: str, *, count: str = "created", created_id: str = "") -> None:
        """Have it bring the job to its end."""
        is_open = count in {"created", "reused"}
        finish(
            self.ledger,
            job,
            owner,
            outcome=Outcome(
                message_id=job.job_id,
                account_id=ACCOUNT,
                routing_key=f"conversation.{count}" if is_open else "conversation.failed",
                body=RECORDED,
                counter=count,
                created_id=created_id,
            ),
        )

    def call(self, number: int, feedback: Feedback, cause: str = "") -> None:
        """Have a job of another consumer's make one call."""
        job = make_job(number)
        self.begin(job, f"{ALIVE}/{number}")
        self.end(job, f"{ALIVE}/{number}", feedback=feedback, cause=cause)


@contextmanager
def job_world(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *,
    careful: bool = False,
    slots: int = 4,
    ceiling: Ceiling = CEILING,
    measures: Measures = UNMEASURED,
) -> Iterator[World]:
    """Give a world whose worker shows itself."""
    server = FakeServer(server_type="valkey")
    with memory_store(server) as store:
        clock, brake = StoreClock(store, folder, patch), Brake(store, [ACCOUNT])
        pulse = Pulse(store, before=brake.look)
        pulse.start()
        try:
            wait_until(pulse.is_shown, "the worker shows itself")
            yield World(
                server,
                clock,
                pulse,
                brake,
                careful=careful,
                slots=slots,
                ceiling=ceiling,
                measures=measures,
            )
        finally:
            server.connected = True
            pulse.stop(seconds=5)
