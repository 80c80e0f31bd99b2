"""The ledger that benchmarks/find.py fills: what it measures is what workers leave behind."""

from __future__ import annotations

import queue
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from benchmarks.find import KEPT_MS, conversation_of, fill, job_of, make, named
from config.settings import Settings
from console.admin.person import job_of_conversation, jobs_of_consumer
from console.admin.submissions import view
from tasks.store.answers import Go
from tasks.store.ledger import Ceiling, Ledger
from tests.jobs import ACCOUNT, ONE_ACCOUNT

JOBS = 40
# The head of a record has the time at which its job was seen.
SEEN = slice(1, 7)
SETTINGS = Settings.model_validate(ONE_ACCOUNT)


def test_it_is_as_a_worker_leaves_it(store: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same keys, kept as long, with the same in them; only moments differ."""
    made = [make(number) for number in range(JOBS)]
    monkeypatch.setattr("benchmarks.find.make", made.__getitem__)
    fill(store, range(JOBS))
    filled = contents(store)
    store.flushall()

    ledger = Ledger(
        store,
        dedupe_seconds=timedelta(milliseconds=KEPT_MS).total_seconds(),
        flight_seconds=35,
        max_losses=1,
        repeat_unknown=True,
    )
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    for job, outcome in made:
        ceiling = Ceiling(rate=1e6, in_flight=1000)
        begun = ledger.begin(job, "w/1", ceiling=ceiling, purpose="send", patience=60)
        assert isinstance(begun, Go)
        ledger.finish(job, "w/1", outcome=outcome, feedback="ok", then=answers.put)
        answers.get(timeout=10)
        ledger.mark_published(ACCOUNT, job.job_id)
    ledger.close(seconds=60)
    # A ledger that was filled long ago has neither learned limits nor counts of the last hour.
    passing = (b":limit", b":counts:")
    assert filled == {
        key: value
        for key, value in contents(store).items()
        if not any(part in key for part in passing)
    }


def test_what_is_asked_for_is_found(store: Redis) -> None:
    """By consumer, conversation and submission."""
    fill(store, range(JOBS))
    (job, _), last = make(JOBS - 1), job_of(JOBS - 1)
    found = jobs_of_consumer(store, SETTINGS, [ACCOUNT], job.consumer_id)
    assert last in {one.job_id for one in found}
    (one,) = job_of_conversation(store, SETTINGS, [ACCOUNT], conversation_of(JOBS - 1))
    assert one.job_id == last
    shown = view(store, [ACCOUNT], named(0))
    assert shown is not None
    assert (shown.total, shown.created) == (JOBS, JOBS)


def contents(store: Any) -> dict[bytes, object]:
    """Read everything, without moments."""
    found: dict[bytes, object] = {}
    for key in store.scan_iter():
        kind, value = store.type(key), None
        if kind == b"string":
            record = store.get(key)
            value = record[: SEEN.start] + record[SEEN.stop :] if b":j:" in key else record
        elif kind == b"hash":
            value = store.hgetall(key)
            value.pop(b"begun", None)
        elif kind == b"list":
            value = store.lrange(key, 0, -1)
        else:
            value = store.zrange(key, 0, -1)
        ttl = store.pttl(key)
        found[key] = (value, round(ttl / 60_000))
    return found
