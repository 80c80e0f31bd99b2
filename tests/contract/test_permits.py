"""Permits on a real store and in memory: who may send, and who has to ask again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import cast

from redis import Redis

from tasks.account import Account
from tasks.line import Seats
from tasks.liveperson.client import LivePersonClient
from tasks.messages.intake import Work
from tasks.permits import Permits
from tasks.stopping import Shutdown
from tasks.store.answers import Go, Held
from tasks.store.ledger import Ceiling, Ledger
from tasks.store.pulse import Pulse
from tests.jobs import make_job
from tests.ledger_records import recorded_fields
from tests.memory_store import ON_EITHER_STORE
from tests.waiting import wait_until

pytestmark = ON_EITHER_STORE


class Worker:
    """One worker of the pool, as far as its permits go."""

    def __init__(self, store: Redis) -> None:
        self.pulse = Pulse(store)
        ledger = Ledger(
            store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True
        )
        self._permits = Permits(
            ledger, self.pulse, Shutdown(), seats=Seats(5, shared=False), patience=60
        )
        self._account = Account(
            client=cast("LivePersonClient", None),  # nothing is sent here
            ceiling=Ceiling(rate=1e6, in_flight=10),
        )

    def begin(self) -> object:
        """Ask to send the job."""
        work = Work(
            job=make_job(),
            document={},
            owner=self.pulse.owner(),
            enqueued_at=None,
            not_before=None,
            expires_at=None,
        )
        return self._permits.begin(work, self._account)


def test_a_worker_that_the_others_do_not_see_does_not_send(store: Redis) -> None:
    """Whoever was frozen between the ledger's go and the request asks again before it sends."""
    frozen, other = Worker(store), Worker(store)
    other.pulse.start()
    wait_until(other.pulse.is_shown, "the other worker shows itself")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(frozen.begin)
        wait_until(
            lambda: recorded_fields(store, "job-1").get("state") == "sending",
            "the frozen one has its go",
        )
        taken = other.begin()
        frozen.pulse.start()
        answer = waiting.result(10)
    frozen.pulse.stop(seconds=5)
    other.pulse.stop(seconds=5)
    assert isinstance(taken, Go)
    assert taken.claim.losses == 1
    assert isinstance(answer, Held)
