"""How old the oldest waiting message is, compared with queues whose messages have dates."""

from __future__ import annotations

from collections import deque
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from console.admin.ages import MAX_MOMENTS, Ages

# What happens to a queue in a while: so many come, so many are taken, so many seconds pass.
EVENTS: Final = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.5, 1.0, 7.0])), max_size=60
)


@given(EVENTS)
def test_an_age_is_never_too_high_and_at_most_a_look_too_low(
    events: list[tuple[int, int, float]],
) -> None:
    """Whatever comes and goes, as long as what goes is counted."""
    ages, waiting = Ages(), deque[float]()
    now, taken, gap = 1000.0, 0, 0.0
    for come, take, pause in events:
        waiting.extend([now] * come)
        gone = min(take, len(waiting))
        for _ in range(gone):
            waiting.popleft()
        taken += gone
        now, gap = now + pause, pause
        found = ages.look(waiting=len(waiting), taken=taken, now=now)
        true = now - waiting[0] if waiting else 0.0
        # A message may have come just after the look before.
        assert found <= true
        assert true - found <= max(gap, 7.0)


def test_what_nobody_takes_grows_old() -> None:
    """From when it was first seen; more that comes makes it no younger."""
    ages = Ages()
    assert ages.look(waiting=3, taken=10, now=0) == 0
    assert ages.look(waiting=3, taken=10, now=60) == 60
    assert ages.look(waiting=5000, taken=10, now=90) == 90
    assert ages.look(waiting=4998, taken=12, now=100) == 100
    # The three that were there at first are gone.
    assert ages.look(waiting=4997, taken=13, now=110) == 20


def test_an_empty_queue_has_no_age() -> None:
    """And what comes after it has one of its own."""
    ages = Ages()
    ages.look(waiting=3, taken=0, now=0)
    assert ages.look(waiting=0, taken=0, now=50) == 0
    assert ages.look(waiting=1, taken=0, now=60) == 0
    assert ages.look(waiting=1, taken=0, now=65) == 5


def test_after_a_purge_the_age_is_true_again_once_what_came_since_is_taken() -> None:
    """What vanishes is seen as a queue that shrank with nothing taken."""
    ages = Ages()
    ages.look(waiting=1000, taken=0, now=0)
    assert ages.look(waiting=50, taken=0, now=100) == 100
    ages.look(waiting=60, taken=0, now=110)
    assert ages.look(waiting=10, taken=50, now=120) == 10


def test_a_counter_that_begins_anew_is_no_age() -> None:
    """A store that lost its memory has counted nothing."""
    ages = Ages()
    ages.look(waiting=100, taken=100_000, now=0)
    assert ages.look(waiting=100, taken=5, now=10) == 10
    assert ages.look(waiting=100, taken=110, now=20) == 0


def test_what_is_remembered_is_bounded() -> None:
    """A backlog of days, looked at every second, keeps its age."""
    ages = Ages()
    for second in range(3 * MAX_MOMENTS):
        found = ages.look(waiting=10 + second, taken=0, now=second)
        assert found == second
    assert len(ages._came) <= MAX_MOMENTS
