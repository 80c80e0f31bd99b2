"""What a 429 does to the pool, and how it spreads its requests, on a real Valkey and in memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
from redis import Redis

from tasks.store.answers import Defer, Go, Wait
from tasks.store.ledger import Ceiling, Ledger
from tests.jobs import make_job
from tests.memory_store import ON_EITHER_STORE

PATIENT_SECONDS = 60.0


class Worker:
    """One worker of the pool, with a ledger of its own on the same store."""

    def __init__(self, store: Redis, name: str) -> None:
        self._name = name
        self._ledger = Ledger(
            store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True
        )

    def ask(self, number: int, *, rate: float = 1e6) -> object:
        """Ask to send a job."""
        return self._ledger.begin(
            make_job(number),
            f"{self._name}/{number}",
            ceiling=Ceiling(rate=rate, in_flight=1000),
            purpose="send",
            patience=PATIENT_SECONDS,
        )

    def throttled(self, number: int, *, retry_after: float = 0) -> None:
        """Report that LivePerson answered 429."""
        self._ledger.release(
            make_job(number),
            f"{self._name}/{number}",
            feedback="throttled",
            retry_after=retry_after,
        )


@pytest.fixture
def workers(store: Redis) -> tuple[Worker, Worker]:
    """Give two workers."""
    return Worker(store, "w1"), Worker(store, "w2")


@ON_EITHER_STORE
@pytest.mark.parametrize("retry_after", [0, 7])
def test_one_429_pauses_nobody_else(workers: tuple[Worker, Worker], retry_after: float) -> None:
    """The refused job waits by itself; other applications share an account's limit."""
    first, second = workers
    assert isinstance(first.ask(1), Go)
    first.throttled(1, retry_after=retry_after)
    assert isinstance(second.ask(2), Go)
    assert isinstance(first.ask(3), Go)


def test_requests_are_spread_evenly_over_the_pool(workers: tuple[Worker, Worker]) -> None:
    """Whoever asks gets the next slot; nobody gets the same one, and nobody bursts."""
    answers = [workers[number % 2].ask(number, rate=5) for number in range(12)]
    assert isinstance(answers[0], Go)
    slots = [answer.booked for answer in answers if isinstance(answer, Wait) and answer.booked]
    gaps = [round(later - earlier) for earlier, later in pairwise(slots)]
    assert len(slots) >= 5
    assert set(gaps) == {200}
    # No slot is booked further ahead than a second: those that ask then have none yet.
    assert not any(isinstance(answer, Defer) for answer in answers)
    assert [a.booked for a in answers if isinstance(a, Wait)][-1] == 0
