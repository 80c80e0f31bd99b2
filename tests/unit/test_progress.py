"""What counts as progress, as a table."""

from __future__ import annotations

import pytest

from worker.progress import Snapshot, judge

NOW = 1000.0
LONG = 3600.0
# The two calls that a job may wait for, in seconds.
ANSWER = 70.0


def snapshot(
    *,
    ready: int = 0,
    busy: int = 0,
    unpublished: int = 0,
    trouble: str = "",
    turned: float = 1,
    received: float = LONG,
    moved: float = LONG,
    confirmed: float = LONG,
    idle_for: float = LONG,
    busy_for: float = LONG,
    unpublished_for: float = LONG,
) -> Snapshot:
    """See a worker; the times are how long ago, in seconds."""
    return Snapshot(
        now=NOW,
        turned_at=NOW - turned,
        received_at=NOW - received,
        moved_at=NOW - moved,
        confirmed_at=NOW - confirmed,
        idle_since=NOW - idle_for,
        busy_since=NOW - busy_for,
        unpublished_since=NOW - unpublished_for,
        ready=ready,
        busy=busy,
        unpublished=unpublished,
        trouble=trouble,
    )


@pytest.mark.parametrize(
    "healthy",
    [
        pytest.param(snapshot(), id="nothing to do for an hour"),
        pytest.param(snapshot(ready=9, idle_for=1), id="slots were full until just now"),
        pytest.param(snapshot(ready=9, received=1), id="messages come"),
        pytest.param(snapshot(turned=59, ready=9, received=59), id="not long enough"),
        pytest.param(snapshot(busy=9, moved=1), id="jobs end, or wait and are told so"),
        pytest.param(snapshot(busy=9, busy_for=1), id="busy since just now"),
        pytest.param(snapshot(busy=1, moved=60 + ANSWER - 1), id="two calls that take their time"),
        pytest.param(snapshot(unpublished=9, confirmed=1), id="outcomes are confirmed"),
        pytest.param(snapshot(unpublished=9, confirmed=9, trouble="memory alarm"), id="so far"),
    ],
)
def test_progress_is_left_alone(healthy: Snapshot) -> None:
    """Whoever works, waits for somebody else, or has nothing to do, is no stall."""
    assert judge(healthy, answer_seconds=ANSWER).state == "fine"


@pytest.mark.parametrize(
    ("stuck", "state", "said"),
    [
        (snapshot(turned=61), "stalled", "event loop has not turned for 61 s"),
        (snapshot(ready=9, idle_for=61), "stalled", "9 messages wait"),
        (snapshot(busy=3, moved=60 + ANSWER + 1), "stalled", "3 jobs are in hand"),
        (snapshot(unpublished=4, confirmed=61), "stalled", "publisher stands still: 4 messages"),
        (snapshot(unpublished=4, confirmed=61, trouble="memory alarm"), "held", "memory alarm"),
        (snapshot(unpublished=4, trouble="the queue is full"), "refused", "the queue is full"),
        # Whose outcomes do not go out has jobs in hand that do not end either.
        (snapshot(unpublished=4, busy=4, trouble="memory alarm"), "held", "memory alarm"),
    ],
)
def test_what_stands_still_is_named(stuck: Snapshot, state: str, said: str) -> None:
    """Only what a new process would change is a stall."""
    verdict = judge(stuck, answer_seconds=ANSWER)
    assert verdict.state == state
    assert said in verdict.why
