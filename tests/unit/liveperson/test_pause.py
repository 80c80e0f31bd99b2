"""The pause after a 429: how long it is, and what is said meanwhile."""

import pytest

from tasks.liveperson.answer import Answer, Kind, Pause
from tests.unit.liveperson.scripted import Clock

MIN_SECONDS = 5.0


def throttled(retry_after: float | None = None) -> Answer:
    return Answer(kind=Kind.THROTTLED, http_status=429, message="slow", retry_after=retry_after)


def left(pause: Pause) -> float | None:
    refusal = pause.refusal()
    return refusal.retry_after if refusal else None


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(None, 5.0), (0.0, 5.0), (2.0, 5.0), (60.0, 60.0), (1e9, 300.0)]
)
def test_a_pause_is_as_long_as_asked_within_bounds(
    retry_after: float | None, seconds: float
) -> None:
    """Meanwhile the 429 is given again, with what is left of the pause."""
    clock = Clock()
    pause = Pause(MIN_SECONDS, clock=clock)
    pause.after(throttled(retry_after))
    assert pause.refusal() == throttled(seconds)
    clock.now += seconds - 1
    assert pause.refusal() == throttled(1.0)
    clock.now += 1
    assert pause.refusal() is None


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.THROTTLED}))
def test_nothing_else_begins_a_pause(kind: Kind) -> None:
    """A failure says nothing about how many requests are too many."""
    pause = Pause(MIN_SECONDS, clock=Clock())
    pause.after(Answer(kind=kind, retry_after=60.0))
    assert pause.refusal() is None


def test_a_longer_pause_stays() -> None:
    """Answers to calls made together come in any order."""
    pause = Pause(MIN_SECONDS, clock=Clock())
    for retry_after in (60.0, None):
        pause.after(throttled(retry_after))
        assert left(pause) == 60.0
    pause.after(throttled(90.0))
    assert left(pause) == 90.0
