"""What the limiter makes of an unknown limit: its scripts, in a minute of made-up time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from benchmarks.limit_servers import Bucket, Cap, Server, Window
from benchmarks.limit_simulation import Limiter, Pool, Run, Simulation
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
    limiter = Limiter(store, rate=ceiling, in_flight=in_flight)
    return Simulation(limiter, server, pool=pool or Pool(), seconds=seconds, changes=changes).run()


@pytest.mark.parametrize("workers", [1, 4])
def test_a_known_limit_is_used_and_never_passed(store: Redis, workers: int) -> None:
    """The ceiling is the limit: not one call is refused."""
    seen = run(store, Bucket(LIMIT, 0.1), ceiling=LIMIT, seconds=20, pool=Pool(workers=workers))
    assert seen.goodput(2, 20) >= 0.995 * LIMIT
    assert sum(seen.refused) == 0


@pytest.mark.parametrize(
    ("workers", "burst", "goodput"), [(1, 0.1, 0.91), (4, 0.1, 0.91), (4, 0.2, 0.95), (4, 1, 0.97)]
)
def test_an_unknown_limit_is_found_and_kept(
    store: Redis, workers: int, burst: float, goodput: float
) -> None:
    """The ceiling is twenty times the limit; what is left is the second that each 429 costs."""
    seen = run(store, Bucket(LIMIT, burst), ceiling=20 * LIMIT, pool=Pool(workers=workers))
    assert seen.goodput(LEARNED, SECONDS) >= goodput * LIMIT
    assert seen.refused_share(LEARNED, SECONDS) <= 0.005
    assert max(rate for at, rate in seen.rates if at > LEARNED) <= 2 * LIMIT


def test_a_limit_that_never_moved_is_tried_ever_more_rarely(store: Redis) -> None:
    """Each try costs a refusal, and the pause after it."""
    seen = run(store, Bucket(LIMIT, 0.2), ceiling=20 * LIMIT, seconds=120)
    assert 1 <= sum(seen.refused[LEARNED:]) <= 3
    assert seen.goodput(LEARNED, 120) >= 0.95 * LIMIT


@pytest.mark.parametrize("burst", [0.1, 1])
def test_a_limit_that_falls_to_a_quarter_and_comes_back_is_followed(
    store: Redis, burst: float
) -> None:
    """Below one per cent of 429 within five seconds, and back at nine tenths within thirty."""
    cut, back = 60, 90
    changes = ((cut, Bucket(LIMIT / 4, burst)), (back, Bucket(LIMIT, burst)))
    seen = run(store, Bucket(LIMIT, burst), ceiling=200, seconds=130, changes=changes)
    assert seen.refused_share(cut + 5, back) <= 0.01
    assert seen.goodput(cut + 5, back) >= 0.75 * LIMIT / 4
    whole = (at for at in range(back, 125) if seen.goodput(at, at + 5) >= 0.9 * LIMIT)
    assert next(whole) - back <= 30


def test_a_limit_by_the_clock_second_is_found_too(store: Redis) -> None:
    """Not every limit is a bucket."""
    seen = run(store, Window(LIMIT), ceiling=4 * LIMIT)
    assert seen.goodput(LEARNED, SECONDS) >= 0.9 * LIMIT
    assert seen.refused_share(LEARNED, SECONDS) <= 0.005


def test_a_cap_on_calls_at_a_time_is_found(store: Redis) -> None:
    """What LivePerson documents for UMS: neither a rate nor a figure."""
    cap, latency = 10, 0.5
    pool = Pool(latency=latency, jitter=0.5)
    seen = run(store, Cap(cap), ceiling=100, pool=pool, seconds=90)
    assert seen.widths[-1][1] == cap
    assert seen.goodput(60, 90) >= 0.8 * cap / latency
    assert seen.refused_share(LEARNED, 90) <= 0.01


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
    assert seen.goodput(LEARNED, SECONDS) >= 0.95 * LIMIT
