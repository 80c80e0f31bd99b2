"""The pool of threads: as many as there are slots, and none lost to an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.waiting import wait_until
from worker.pool import TaskPool

SECONDS = 10.0


@pytest.fixture
def pool() -> Iterator[TaskPool]:
    """Start a pool of three."""
    pool = TaskPool(limit=3)
    pool.start()
    yield pool
    pool.stop()


def test_as_many_run_at_once_as_there_are_slots(pool: TaskPool) -> None:
    """Three meet; the fourth waits for a thread."""
    meeting, done = threading.Barrier(3), threading.Event()
    for _ in range(3):
        pool.apply_async(meeting.wait, (SECONDS,))
    pool.apply_async(done.set, ())
    assert done.wait(SECONDS)
    assert pool.num_processes == 3


def test_no_thread_is_started_while_one_is_idle(pool: TaskPool) -> None:
    """A worker with little to do stays small; one with more gets what it needs at once."""
    names = set[str]()
    for _ in range(9):
        pool.apply_async(lambda: names.add(threading.current_thread().name), ())
        wait_until(lambda: not pool._begun, "the call has ended")
    assert names == {"slot-0"}
    meeting = threading.Barrier(3)
    for _ in range(2):
        pool.apply_async(meeting.wait, (SECONDS,))
    meeting.wait(SECONDS)


def test_an_error_costs_no_thread(pool: TaskPool) -> None:
    """All three go on."""

    def fails() -> None:
        raise ValueError("broken")

    for _ in range(9):
        pool.apply_async(fails, ())
    meeting, done = threading.Barrier(4), threading.Event()
    for _ in range(3):
        pool.apply_async(meeting.wait, (SECONDS,))
    meeting.wait(SECONDS)
    pool.apply_async(done.set, ())
    assert done.wait(SECONDS)


def test_stopping_waits_for_what_is_under_way() -> None:
    """Nothing that was begun is cut off."""
    pool, begun, go_on, ended = TaskPool(limit=1), *(threading.Event() for _ in range(3))

    def work() -> None:
        begun.set()
        go_on.wait(SECONDS)
        ended.set()

    pool.start()
    pool.apply_async(work, ())
    assert begun.wait(SECONDS)
    threading.Timer(0.05, go_on.set).start()
    pool.stop()
    assert ended.is_set()
