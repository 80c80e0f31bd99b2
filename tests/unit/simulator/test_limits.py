"""The token bucket and what it lets through."""

from itertools import compress

from hypothesis import given
from hypothesis import strategies as st

from simulator.limits import Gauge, TokenBucket


def taken(at: list[float], *, rate: float | None, burst: int | None = None) -> list[bool]:
    bucket = TokenBucket()
    return [bucket.take(one, rate=rate, burst=burst) for one in at]


def test_no_rate_lets_everything_through() -> None:
    """Without a limit nothing is refused."""
    assert taken([1.0] * 1000, rate=None) == [True] * 1000


def test_a_rate_of_nothing_lets_nothing_through() -> None:
    """A rate of 0 closes the endpoint."""
    assert taken([1.0, 2.0, 3.0], rate=0) == [False] * 3


def test_a_full_bucket_gives_its_burst_and_then_the_rate() -> None:
    """Three at once, then one each half second at two a second."""
    at = [10.0] * 4 + [10.5, 10.6, 11.0]

    assert taken(at, rate=2, burst=3) == [True, True, True, False, True, False, True]


def test_the_burst_is_one_second_by_default() -> None:
    """A rate of 5 lets five through at once; a rate below 1 lets one through."""
    assert sum(taken([7.0] * 20, rate=5)) == 5
    assert sum(taken([7.0] * 20, rate=0.2)) == 1


def test_refused_calls_cost_nothing() -> None:
    """Hammering on an empty bucket does not keep it empty."""
    assert taken([1.0, *[1.1] * 50, 2.0], rate=1, burst=1)[-1] is True


def test_a_new_rate_holds_at_once() -> None:
    """The rate can change between two takes."""
    bucket = TokenBucket()
    assert bucket.take(1.0, rate=1, burst=1)
    assert not bucket.take(1.5, rate=1, burst=1)
    assert bucket.take(2.0, rate=100, burst=1)
    assert bucket.take(2.01, rate=100, burst=1)


@given(
    gaps=st.lists(st.floats(0, 0.3), min_size=1, max_size=200),
    rate=st.integers(1, 50),
    burst=st.integers(1, 20),
)
def test_never_more_than_burst_and_rate(gaps: list[float], rate: int, burst: int) -> None:
    """Whatever the arrivals, a span of t seconds sees at most burst + rate x t."""
    at = [1000.0]
    for gap in gaps:
        at.append(at[-1] + gap)
    passed = taken(at, rate=rate, burst=burst)
    let_in = list(compress(at, passed))

    for first in range(len(let_in)):
        for last in range(first, len(let_in)):
            span = let_in[last] - let_in[first]
            assert last - first + 1 <= burst + rate * span + 1e-3


def test_a_gauge_remembers_its_peak() -> None:
    """The peak stays when the value goes down."""
    gauge = Gauge()
    gauge.enter()
    gauge.enter()
    gauge.leave()
    gauge.enter()
    gauge.leave()

    assert (gauge.value, gauge.peak) == (1, 2)
