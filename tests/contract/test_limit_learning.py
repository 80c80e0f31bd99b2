"""What the limiter makes of an unknown limit: its scripts, in a minute of made-up time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from redis import Redis

from benchmarks.limit_servers import Bucket, Cap, Server, Sliding, Window
from benchmarks.limit_simulation import OurLimiter, Pool, Run, Simulation
from tests.redis_server import RedisServer

LIMIT = 50
LEARNED = 30
SECONDS = 70


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Give a store that keeps nothing on disk: a run asks it ten thousand times."""
    server = RedisServer(tmp_path_factory.mktemp("learning")).start()
    with server.client() as client:
        client.config_set("appendonly", "no")
        yield client
    server.stop()


def run(
    store: Redis,
    server: Server,
    *,
    ceiling: float,
    in_flight: int = 200,
    seconds: int = SECONDS,
    changes: tuple[tuple[float, Server], ...] = (),
    pool: Pool | None = None,
) -> Run:
    limiter = OurLimiter(store, rate=ceiling, in_flight=in_flight)
    return Simulation(limiter, server, pool=pool or Pool(), seconds=seconds, changes=changes).run()


@pytest.mark.parametrize("workers", [1, 4])
def test_a_known_limit_is_used_and_never_passed(store: Redis, workers: int) -> None:
    """The ceiling is the limit: not one call is refused."""
    seen = run(store, Bucket(LIMIT, 0.1), ceiling=LIMIT, seconds=20, pool=Pool(workers=workers))
    assert seen.goodput(2, 20) >= 0.995 * LIMIT
    assert sum(seen.refused) == 0


@pytest.mark.parametrize(
    ("workers", "burst", "goodput"), [(1, 0.1, 0.93), (4, 0.1, 0.93), (4, 0.2, 0.95), (4, 1, 0.97)]
)
def test_an_unknown_limit_is_found_and_kept(
    store: Redis, workers: int, burst: float, goodput: float
) -> None:
    """The ceiling is twenty times the limit, and hardly a call in a hundred is refused."""
    seen = run(store, Bucket(LIMIT, burst), ceiling=20 * LIMIT, pool=Pool(workers=workers))
    assert seen.goodput(LEARNED, SECONDS) >= goodput * LIMIT
    assert seen.refused_share(LEARNED, SECONDS) <= 0.01
    assert max(rate for at, rate in seen.rates if at > LEARNED) <= 2 * LIMIT


@pytest.mark.parametrize(("strays", "times", "goodput"), [(0.01, 1, 0.95), (0.05, 3, 0.8)])
def test_refusals_that_have_nothing_to_do_with_the_pace_hold_nobody(
    store: Redis, strays: float, times: int, goodput: float
) -> None:
    """Some jobs are refused at whatever pace, once or three times; each costs its own repeats."""
    pool = Pool(strays=strays, stray_times=times)
    seen = run(store, Bucket(1e6, 1), ceiling=LIMIT, seconds=90, pool=pool)
    possible = LIMIT / (1 + strays * times)
    assert seen.goodput(5, 90) >= goodput * possible
    assert seen.goodput(60, 90) >= goodput * possible


def test_many_strays_do_not_bring_down_a_level_that_is_not_used(store: Redis) -> None:
    """As where workers are killed: twelve jobs a second at a ceiling of 50, one in four a stray."""
    pool = Pool(strays=0.25, demand=lambda now: 12.0)  # noqa: ARG005 - at any time
    seen = run(store, Bucket(1e6, 1), ceiling=50, seconds=90, pool=pool)
    assert min(rate for _, rate in seen.rates) >= 18
    assert seen.goodput(5, 90) >= 11


@pytest.mark.parametrize("burst", [0.1, 1])
def test_a_limit_that_falls_to_a_quarter_and_comes_back_is_followed(
    store: Redis, burst: float
) -> None:
    """Hardly a call in a hundred is refused after five seconds; back at nine tenths within 15."""
    limit, cut, back = 200, 25, 50
    changes = ((cut, Bucket(limit / 4, burst)), (back, Bucket(limit, burst)))
    seen = run(store, Bucket(limit, burst), ceiling=800, seconds=75, changes=changes)
    assert seen.refused_share(cut + 5, back) <= 0.02
    assert seen.goodput(cut + 5, back) >= 0.9 * limit / 4
    whole = (at for at in range(back, 70) if seen.goodput(at, at + 5) >= 0.9 * limit)
    assert next(whole) - back <= 15


@pytest.mark.parametrize("back", [45.75, 51])
def test_a_limit_that_comes_back_from_half_is_used_within_ten_seconds(
    store: Redis, back: float
) -> None:
    """Whether it comes back just after a higher level was refused, or long after that."""
    limit, first = 50, math.ceil(back)
    changes = ((20, Bucket(limit / 2, 0.2)), (back, Bucket(limit, 0.2)))
    seen = run(
        store, Bucket(limit, 0.2), ceiling=500, in_flight=500, seconds=first + 20, changes=changes
    )
    assert seen.refused_share(25, int(back)) <= 0.01
    whole = (at for at in range(first, first + 15) if seen.goodput(at, at + 5) >= 0.9 * limit)
    assert next(whole) - back <= 10


@pytest.mark.parametrize("out", [2, 5, 60])
def test_a_time_in_which_nothing_passes_teaches_no_level(store: Redis, out: int) -> None:
    """What was used before is used again within 18 s; every eighth is a test, at last."""
    begins, back = 25, 25 + out
    changes = ((begins, Window(0)), (back, Bucket(1e6, 1)))
    seen = run(store, Bucket(1e6, 1), ceiling=LIMIT, seconds=back + 45, changes=changes)
    assert sum(seen.refused[begins + 3 : back]) <= out
    assert seen.goodput(back + 18, back + 45) >= 0.95 * LIMIT


def test_a_retry_after_is_heeded_where_nothing_passes(store: Redis) -> None:
    """Nobody asks before that time."""
    changes = ((25, Window(0)), (29, Bucket(1e6, 1)))
    pool = Pool(retry_after=10)
    seen = run(store, Bucket(1e6, 1), ceiling=LIMIT, seconds=60, changes=changes, pool=pool)
    assert sum(seen.accepted[28:35]) == 0
    assert seen.goodput(45, 60) >= 0.95 * LIMIT


@pytest.mark.parametrize(
    ("server", "limit", "seconds", "goodput"),
    [(Sliding(500, 10), 50, 180, 0.7), (Window(600, 60), 10, 240, 0.9)],
)
def test_a_limit_by_a_longer_time_is_used_too(
    store: Redis, server: Server, limit: float, seconds: int, goodput: float
) -> None:
    """It is used up early, and nothing passes for the rest of that time."""
    seen = run(store, server, ceiling=10 * limit, seconds=seconds)
    assert seen.goodput(60, seconds) >= goodput * limit
    assert seen.refused_share(60, seconds) <= 0.25


def test_a_limit_by_the_clock_second_is_found_too(store: Redis) -> None:
    """Not every limit is a bucket."""
    seen = run(store, Window(LIMIT), ceiling=4 * LIMIT)
    assert seen.goodput(LEARNED, SECONDS) >= 0.9 * LIMIT
    assert seen.refused_share(LEARNED, SECONDS) <= 0.01


def test_a_cap_on_calls_at_a_time_is_found(store: Redis) -> None:
    """What LivePerson documents for UMS: neither a rate nor a figure."""
    cap, latency = 10, 0.5
    pool = Pool(latency=latency, jitter=0.5)
    seen = run(store, Cap(cap), ceiling=100, pool=pool, seconds=90)
    assert seen.widths[-1][1] == cap
    assert seen.goodput(15, 90) >= 0.9 * cap / latency


def test_a_rate_that_looked_like_a_cap_is_found(store: Redis) -> None:
    """A number in flight is no limit where calls below it are refused."""
    pool = Pool(latency=0.5, jitter=0.5)
    changes = ((30, Bucket(18, 0.2)),)
    seen = run(store, Cap(10), ceiling=100, pool=pool, seconds=120, changes=changes)
    assert [width for at, width in seen.widths if at < 30][-1] == 10
    assert seen.widths[-1][1] == 200
    assert seen.goodput(60, 120) >= 0.9 * 18
    assert seen.refused_share(60, 120) <= 0.01


def test_a_rate_that_nobody_uses_does_not_run_away(store: Redis) -> None:
    """Half the limit is asked for: the rate stays where something was learned of it."""

    def demand(now: float) -> float:
        return 200 if now < 20 else LIMIT / 2

    seen = run(
        store, Bucket(LIMIT, 0.2), ceiling=1000, seconds=120, pool=Pool(workers=4, demand=demand)
    )
    assert max(rate for at, rate in seen.rates if at > LEARNED) <= 2 * LIMIT


def test_slow_answers_do_not_narrow_a_limit_on_the_rate(store: Redis) -> None:
    """However many calls are in flight then: none of them is refused for that."""
    pool = Pool(latency=0.5, jitter=0.8)
    seen = run(store, Bucket(LIMIT, 1), ceiling=4 * LIMIT, pool=pool)
    assert seen.goodput(LEARNED, SECONDS) >= 0.7 * LIMIT
