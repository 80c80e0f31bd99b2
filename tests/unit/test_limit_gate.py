"""The line of threads before an account's limit."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tasks.line import Gate, Rank
from tests.waiting import wait_until


def in_line(gate: Gate) -> int:
    """Return how many threads wait."""
    return len(gate._line)


def start(gate: Gate, rank: Rank, then: Callable[[], None]) -> threading.Thread:
    """Start a thread that waits in line, and return when it does."""
    before = in_line(gate)

    def wait() -> None:
        assert gate.enter(rank, seconds=10)
        then()
        gate.leave()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: in_line(gate) == before + 1, "the thread stands in line")
    return thread


def test_the_highest_priority_comes_first_then_the_first_delivered() -> None:
    """Whatever the order in which they came to stand in line."""
    gate = Gate()
    assert gate.enter((0, 0), seconds=0)
    called: list[Rank] = []
    ranks: list[Rank] = [(0, 5), (0, 4), (-9, 7), (-3, 1), (-9, 6)]
    threads = [start(gate, rank, lambda rank=rank: called.append(rank)) for rank in ranks]  # type: ignore[misc] # the loop's own rank
    gate.leave()
    for thread in threads:
        thread.join(10)
    assert called == [(-9, 6), (-9, 7), (-3, 1), (0, 4), (0, 5)]
    assert gate.is_free()


def test_a_refused_job_keeps_its_place() -> None:
    """It was delivered before those that wait, so its next turn comes before theirs."""
    gate = Gate()
    assert gate.enter((0, 1), seconds=0)
    called: list[str] = []
    other = start(gate, (0, 2), lambda: called.append("other"))
    again = start(gate, (0, 1), lambda: called.append("refused"))
    gate.leave()
    other.join(10)
    again.join(10)
    assert called == ["refused", "other"]


def test_who_waits_too_long_leaves_the_line() -> None:
    """And the turn goes to the one behind."""
    gate = Gate()
    assert gate.enter((0, 1), seconds=0)
    assert not gate.enter((0, 2), seconds=0.01)
    called = threading.Event()
    behind = start(gate, (0, 3), called.set)
    gate.leave()
    assert called.wait(10)
    behind.join(10)
    assert gate.is_free()


def test_a_crowd_passes_one_at_a_time() -> None:
    """Also when some give up: nobody is called who has left, and nobody is forgotten."""
    gate, inside, most, passed = Gate(), [0], [0], [0]
    count = threading.Lock()

    def pass_through(number: int) -> None:
        if not gate.enter((-(number % 3), number), seconds=0.002 if number % 4 == 0 else 10):
            return
        with count:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        with count:
            inside[0] -= 1
            passed[0] += 1
        gate.leave()

    threads = [threading.Thread(target=pass_through, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert (most[0], gate.is_free(), in_line(gate)) == (1, True, 0)
    assert passed[0] >= 150


def test_a_request_that_ends_wakes_who_waits_for_it() -> None:
    """Without waiting out the pause between two looks."""
    gate, woken = Gate(), threading.Event()

    def wait() -> None:
        gate.wait_until_freed(60)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    gate.freed()
    assert woken.wait(10)
    thread.join(10)
