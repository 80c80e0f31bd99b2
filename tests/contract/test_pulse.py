"""The pulse on a real store: who is alive, and who is not any more."""

from __future__ import annotations

import pytest
from redis import Redis

from console.admin.checks import check_store
from tasks.store.pulse import (
    GONE_MS,
    WORKER_PREFIX,
    WORKERS,
    Pulse,
    messages_taken,
    troubles_of,
    workers_seen,
)
from tests.memory_store import ON_EITHER_STORE
from tests.waiting import wait_until


@ON_EITHER_STORE
def test_a_worker_that_stops_is_gone_at_once(store: Redis) -> None:
    """When `stop` returns, others may take over what it held: they need not wait for it to fade."""
    for _ in range(20):
        stopping, other = Pulse(store), Pulse(store)
        stopping.start()
        wait_until(lambda: other.is_alive(stopping.owner()), "it shows itself")  # noqa: B023 - called at once
        stopping.stop(seconds=5)
        assert not other.is_alive(stopping.owner())


def test_what_keeps_a_worker_is_told_to_whoever_looks_on(store: Redis) -> None:
    """In its words, for as long as it lasts; of the others nothing is said."""
    kept, fine = Pulse(store, trouble=lambda: "memory alarm"), Pulse(store)
    for pulse in (kept, fine):
        pulse.start(lambda: {"pid": 7})
    wait_until(lambda: len(workers_seen(store)) == 2, "both show themselves")
    assert workers_seen(store)[fine.worker] == {"pid": 7, "trouble": ""}
    assert troubles_of(workers_seen(store)) == {kept.worker: "memory alarm"}
    (found,) = [one for one in check_store(store, "redis://") if one.what == "worker"]
    assert (found.verdict, found.text) == ("warning", f"{kept.worker} is held up: memory alarm")
    for pulse in (kept, fine):
        pulse.stop(seconds=5)
    assert workers_seen(store) == {}


@ON_EITHER_STORE
def test_a_worker_that_was_killed_is_forgotten_when_the_next_one_starts(store: Redis) -> None:
    """Until then its name alone is left, and it counts for no worker."""
    store.sadd(WORKERS, "1-killed", "2-alive")
    store.set(f"{WORKER_PREFIX}2-alive", "", px=GONE_MS)
    assert workers_seen(store) == {"2-alive": {}}
    pulse = Pulse(store)
    pulse.start()
    wait_until(lambda: not store.sismember(WORKERS, "1-killed"), "it is forgotten")
    assert store.smembers(WORKERS) == {b"2-alive", pulse.worker.encode()}
    pulse.stop(seconds=5)
    assert store.smembers(WORKERS) == {b"2-alive"}


@ON_EITHER_STORE
def test_what_workers_have_taken_adds_up(store: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tells what is new with each beat, and so nothing twice."""
    monkeypatch.setattr("tasks.store.pulse.BEAT_SECONDS", 0.02)
    store.hincrby("overture:taken", "conversations.jobs", 40)
    taken = {"conversations.jobs": 2}
    pulse = Pulse(store, taken=lambda: taken)
    pulse.start()
    wait_until(lambda: messages_taken(store) == {"conversations.jobs": 42}, "they are told")
    taken["conversations.jobs"] += 5
    wait_until(lambda: messages_taken(store) == {"conversations.jobs": 47}, "so are more")
    pulse.stop(seconds=5)
    assert messages_taken(store) == {"conversations.jobs": 47}
