"""A worker's threads on one processor: which one, and that it is left when others need it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker import tuning
from worker.tuning import Reading, choose, keep_together, shares

linux = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="takes Linux and two processors",
)


@pytest.mark.parametrize(
    ("used", "ours", "chosen"),
    [
        ({0: 0.3, 1: 0.0}, 0.3, 0),
        ({0: 1.0, 1: 0.0}, 1.0, 0),
        ({0: 1.0, 1: 0.1}, 0.5, 1),
        ({0: 1.0, 1: 0.9, 2: 0.2, 3: 0.1}, 0.4, 3),
        ({0: 1.0, 1: 0.4}, 0.5, 0),
        ({0: 0.8, 1: 0.0}, 0.2, 0),
        ({1: 0.7, 2: 0.5}, 0.9, 2),
        ({}, 0.5, 0),
    ],
    ids=[
        "there is room for all",
        "all of it is ours",
        "others crowd us",
        "the emptiest one",
        "no better elsewhere",
        "others leave enough",
        "it was taken away",
        "nothing is known",
    ],
)
def test_a_processor_is_left_when_others_crowd_us_there_alone(
    used: dict[int, float], ours: float, chosen: int
) -> None:
    """Moving has its price, so it has to be worth it."""
    assert choose(0, used, ours) == chosen


def test_shares_are_those_of_the_time_between_two_readings() -> None:
    """A processor that was there only once has none."""
    before = Reading({0: (100, 1000), 1: (0, 1000), 2: (0, 0)}, ran=5.0, at=10.0)
    after = Reading({0: (190, 1100), 1: (0, 1100), 3: (0, 0)}, ran=6.0, at=12.0)
    assert shares(before, after) == ({0: 0.9, 1: 0.0}, 0.5)


@pytest.fixture
def everywhere() -> Iterator[set[int]]:
    """Give the processors that may be used, and go back to all of them afterwards."""
    allowed = os.sched_getaffinity(0)
    yield allowed
    for thread in _threads():
        with contextlib.suppress(ProcessLookupError):  # of another test's, and over by now
            os.sched_setaffinity(thread, allowed)


def _threads() -> list[int]:
    return [int(one.name) for one in Path("/proc/self/task").iterdir()]


def _until(holds: Callable[[], bool]) -> None:
    deadline = threading.Event()
    while not holds():
        assert not deadline.wait(0.01)


@linux
def test_every_thread_follows_from_one_processor_to_the_next(
    everywhere: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are there, and those that come later; and it ends when nothing can be read."""
    asked, looked = threading.Semaphore(0), threading.Event()
    first, second = sorted(everywhere)[:2]
    crowded = [
        Reading({first: (0, 0), second: (0, 0)}, ran=0.0, at=0.0),
        Reading({first: (100, 100), second: (0, 100)}, ran=0.1, at=1.0),
    ]

    def read(allowed: set[int]) -> Reading:
        assert allowed == everywhere
        looked.set()
        asked.acquire()
        if not crowded:
            raise OSError("no more of it")
        return crowded.pop(0)

    monkeypatch.setattr(tuning, "POLL_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(tuning, "_where", lambda: first)
    monkeypatch.setattr(tuning, "_read", read)
    ended = threading.Event()
    waiting = threading.Thread(target=ended.wait)
    waiting.start()
    try:
        keep_together()
        assert looked.wait(30)
        assert {frozenset(os.sched_getaffinity(one)) for one in _threads()} == {frozenset({first})}
        asked.release(2)
        _until(
            lambda: (
                {frozenset(os.sched_getaffinity(one)) for one in _threads()}
                == {frozenset({second})}
            )
        )
        asked.release()
        _until(lambda: "processor" not in {thread.name for thread in threading.enumerate()})
    finally:
        ended.set()
        waiting.join()


@linux
def test_what_the_kernel_says_can_be_read(everywhere: set[int]) -> None:
    """Of this machine: which processor we are on, and what each has done."""
    assert tuning._where() in everywhere
    reading = tuning._read(everywhere)
    assert reading.ticks.keys() == everywhere
    assert all(0 < busy < whole for busy, whole in reading.ticks.values())
    assert reading.ran > 0
