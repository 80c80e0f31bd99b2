"""What the store counts of each minute of the last hour."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from console.admin.hour import MINUTES, Minute, added, read_hour
from tasks.messages.outcome import Outcome
from tasks.store.answers import Go
from tasks.store.connection import Keys, text
from tasks.store.ledger import Ceiling, Ledger
from tests.finishing import finish
from tests.jobs import ACCOUNT, make_job
from tests.memory_store import ON_EITHER_STORE
from tests.store_clock import StoreClock

pytestmark = ON_EITHER_STORE

WIDE = Ceiling(rate=1e6, in_flight=1000)
KEYS = Keys(ACCOUNT)
MINUTE = 60.0


@pytest.fixture
def clock(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreClock:
    """Give the clock of every script."""
    return StoreClock(store, tmp_path, monkeypatch)


@pytest.fixture
def ledger(store: Redis, clock: StoreClock) -> Ledger:
    """Give a ledger."""
    del clock
    return Ledger(store, dedupe_seconds=600, flight_seconds=35, max_losses=1, repeat_unknown=True)


def outcome(job_id: str, counter: str) -> Outcome:
    return Outcome(
        message_id=job_id,
        account_id=ACCOUNT,
        routing_key=f"conversation.{counter.partition(':')[0]}",
        body=b"{}",
        counter=counter,
    )


def end(ledger: Ledger, number: int, counter: str = "created", **fields: Any) -> None:
    job = make_job(number, **fields)
    owner = f"w/{job.job_id}"
    ledger.begin(job, owner, ceiling=WIDE, purpose="send", patience=100)
    finish(ledger, job, owner, outcome=outcome(job.job_id, counter))


def seen(store: Redis) -> list[dict[str, int]]:
    """Return the minutes in which anything ended."""
    return [dict(one.outcomes) for one in read_hour(store, ACCOUNT) if one.outcomes]


def minutes_of(store: Redis) -> list[str]:
    pattern = f"{KEYS.counts}:*"
    return sorted(text(name) for name in store.scan_iter(match=pattern))


def test_each_minute_has_its_own_counts(store: Redis, ledger: Ledger, clock: StoreClock) -> None:
    """The oldest first, empty ones between them; the last one is the store's present."""
    assert [one.outcomes for one in read_hour(store, ACCOUNT)] == [{}] * MINUTES
    end(ledger, 1)
    end(ledger, 2, "failed:rejected")
    end(ledger, 3, "failed:in_doubt")
    clock.advance(2 * MINUTE)
    end(ledger, 4)
    end(ledger, 5, "reused")
    end(ledger, 6)
    found = read_hour(store, ACCOUNT)
    assert [one.at for one in found] == [found[0].at + 60 * n for n in range(MINUTES)]
    assert [(one.created, one.reused, one.failed) for one in found[-3:]] == [
        (1, 0, 2),
        (0, 0, 0),
        (2, 1, 0),
    ]
    clock.advance((MINUTES - 1) * MINUTE)
    assert seen(store) == [{"created": 2, "reused": 1}]
    clock.advance(MINUTE)
    assert seen(store) == []


def test_an_outcome_counts_once(store: Redis, ledger: Ledger) -> None:
    """However often it is recorded, and however many end in one run of the script."""
    for _ in range(3):
        end(ledger, 1)
    jobs = [make_job(number) for number in range(10, 50)]
    for job in jobs:
        begun = ledger.begin(job, job.job_id, ceiling=WIDE, purpose="send", patience=100)
        assert isinstance(begun, Go)
    ended = threading.Semaphore(0)
    for job in jobs:
        ledger.finish(
            job,
            job.job_id,
            outcome=outcome(job.job_id, "created"),
            then=lambda _: ended.release(),
        )
    for _ in jobs:
        assert ended.acquire(timeout=10)
    total = sum(one.created for one in read_hour(store, ACCOUNT))
    assert total == 1 + len(jobs) == int(store.hget(KEYS.counts, "created") or 0)


def test_what_is_kept_names_nobody_and_ends_soon(store: Redis, ledger: Ledger) -> None:
    """Only the names of outcomes, for little more than an hour, under the account's hash tag."""
    end(ledger, 1, "failed:rejected", consumerId="c-secret", submissionId="spring")
    names = minutes_of(store)
    assert all(re.fullmatch(rf"overture:\{{{ACCOUNT}\}}:counts:\d+", name) for name in names)
    for name in names:
        assert {text(one) for one in store.hkeys(name)} == {"failed:rejected"}
        assert 61 * 60_000 < int(store.pttl(name)) <= 65 * 60_000


def test_foreign_data_under_its_name_ends_no_job(
    store: Redis, ledger: Ledger, clock: StoreClock
) -> None:
    """The outcome is recorded and counted in total all the same."""
    end(ledger, 1)
    (name,) = minutes_of(store)
    store.set(name, "foreign")
    end(ledger, 2)
    assert int(store.hget(KEYS.counts, "created") or 0) == 2
    store.delete(name)
    clock.advance(MINUTE)
    end(ledger, 3)
    assert seen(store) == [{"created": 1}]


def test_accounts_are_added(store: Redis) -> None:
    """Minute by minute, the last hour of them all."""
    del store
    first = [Minute(60 * n, {"created": n}) for n in range(MINUTES)]
    second = [Minute(60 * (n + 1), {"created": 1, "failed:expired": 1}) for n in range(MINUTES)]
    found = added([first, second])
    assert len(found) == MINUTES
    assert (found[0].at, found[0].outcomes) == (60, {"created": 2, "failed:expired": 1})
    assert found[-1].outcomes == {"created": 1, "failed:expired": 1}
