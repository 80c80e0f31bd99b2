"""The watchdog's judgement, as a table."""

from __future__ import annotations

import pytest

from worker.watchdog import Sight, stalled

NOW = 1000.0


def sight(
    *, turned: float = 1, received: float = 1, idle: float = 1, waiting: int | None = 0
) -> Sight:
    """See a worker; the times are how long ago, in seconds."""
    return Sight(
        now=NOW,
        turned_at=NOW - turned,
        received_at=NOW - received,
        idle_since=NOW - idle,
        waiting=waiting,
    )


@pytest.mark.parametrize(
    "healthy",
    [
        pytest.param(sight(), id="busy"),
        pytest.param(sight(received=3600, idle=3600), id="an empty queue"),
        pytest.param(sight(received=3600, idle=1, waiting=9), id="slots were full until just now"),
        pytest.param(sight(received=1, idle=3600, waiting=9), id="messages come"),
        pytest.param(sight(turned=3600, received=3600, idle=3600, waiting=None), id="no broker"),
        pytest.param(sight(turned=59, received=59, idle=59, waiting=9), id="not long enough"),
    ],
)
def test_progress_is_left_alone(healthy: Sight) -> None:
    """Whoever works, or has nothing to do, is no stall."""
    assert stalled(healthy) == ""


@pytest.mark.parametrize(
    ("stuck", "said"),
    [
        (sight(turned=61), "event loop has not turned for 61 s"),
        (sight(received=61, idle=61, waiting=9), "9 messages wait"),
    ],
)
def test_a_stall_is_named(stuck: Sight, said: str) -> None:
    """The log says what stood still."""
    assert said in stalled(stuck)
