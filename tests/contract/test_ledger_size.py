"""What a finished job takes in the store: a promise of docs/scaling.md."""

from __future__ import annotations

import queue
from typing import Any

import pytest
from redis import Redis

from benchmarks.store import fresh, outcome
from tasks.store.ledger import Ledger
from tests.jobs import ACCOUNT

JOBS = 20_000
MAX_BYTES = 300


@pytest.mark.parametrize("kind", ["created", "reused", "failed"])
def test_a_finished_job_takes_little_memory(store: Redis, kind: str) -> None:
    """Its record, and the note that names a conversation's job, with all that a server adds."""
    ledger = Ledger(
        store, dedupe_seconds=7 * 86_400, flight_seconds=35, max_losses=1, repeat_unknown=True
    )
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    # Whatever there is once for an account is there.
    jobs = [fresh(number) for number in range(JOBS + 1)]
    before = 0
    for number, job in enumerate(jobs):
        ledger.finish(job, "w/1", outcome=outcome(kind, job), then=answers.put)
        if number == 0:
            answers.get(timeout=10)
            before = used(store)
        else:
            ledger.mark_published(ACCOUNT, job.job_id)
    for _ in range(JOBS):
        answers.get(timeout=60)
    ledger.close(seconds=60)
    assert (used(store) - before) / JOBS <= MAX_BYTES


def used(store: Redis) -> int:
    memory: Any = store.info("memory")
    return int(memory["used_memory"])
