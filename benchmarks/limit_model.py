"""The limiter in made-up time, beside other ways to find a limit: a table, and a plot if asked for.

The model is `limit_simulation`; what it says holds as far as a machine keeps up with its threads.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from redis import Redis

from benchmarks.chart import Line, write_chart
from benchmarks.limit_rivals import Aimd, Bbr, Cubic, Gradient2, Rival, Rule
from benchmarks.limit_servers import Bucket, Cap, Server, Sliding, Window
from benchmarks.limit_simulation import Limiter, OurLimiter, Pool, Run, Simulation
from tests.redis_server import RedisServer

RIVALS: Final[Mapping[str, Callable[[], Rule]]] = {
    "AIMD": Aimd,
    "CUBIC": Cubic,
    "BBR": Bbr,
    "Gradient2": Gradient2,
}
OURS: Final = "Overture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A limit, a ceiling, and what is possible between two seconds, in calls a second."""

    name: str
    server: Callable[[], Server]
    ceiling: float
    possible: float
    pool: Pool = field(default_factory=Pool)
    changes: tuple[tuple[float, Callable[[], Server]], ...] = ()
    first: int = 10
    last: int = 60
    in_flight: int = 500


def bucket(rate: float, burst: float) -> Callable[[], Server]:
    """Return a maker of buckets."""
    return lambda: Bucket(rate, burst)


def _steady(rate: float, burst: float, **pool: float) -> Scenario:
    about = "".join(f", {name} {value:g}" for name, value in pool.items())
    long = rate < 50
    return Scenario(
        name=f"{rate:g}/s, ceiling ten times that, burst {burst:g} s{about}",
        server=bucket(rate, burst),
        ceiling=10 * rate,
        possible=rate,
        pool=Pool(workers=4, slots=150 if rate > 500 else 50, **pool),  # type: ignore[arg-type]
        first=60 if long else 10,
        last=180 if long else 60,
    )


def _strays(share: float, times: int = 1, retry_after: float = 0) -> Scenario:
    after = f", Retry-After {retry_after:g}" if retry_after else ""
    repeated = f", {times} times" if times > 1 else ""
    return Scenario(
        name=f"{100 * share:g} % of jobs refused{repeated}{after}, ceiling 50/s",
        server=bucket(1e6, 1),
        ceiling=50,
        possible=50 / (1 + share * times),
        pool=Pool(strays=share, stray_times=times, retry_after=retry_after),
        first=0,
        last=180,
    )


def _longer(name: str, server: Callable[[], Server], rate: float, last: int) -> Scenario:
    return Scenario(
        name=f"{name}, ceiling ten times that",
        server=server,
        ceiling=10 * rate,
        possible=rate,
        first=last // 3,
        last=last,
    )


def _changing(
    name: str, rate: float, *steps: tuple[float, float], first: int, last: int
) -> Scenario:
    low = [value for at, value in steps if at <= first]
    return Scenario(
        name=name,
        server=bucket(rate, 0.2),
        ceiling=10 * rate,
        possible=low[-1] if low else rate,
        changes=tuple((at, bucket(value, 0.2)) for at, value in steps),
        first=first,
        last=last,
    )


def _cap(most: int, latency: float, jitter: float) -> Scenario:
    return Scenario(
        name=f"{most} at a time, {latency:g} s ± {100 * jitter:.0f} %, nobody told",
        server=lambda: Cap(most),
        ceiling=10 * most / latency,
        possible=most / latency,
        pool=Pool(latency=latency, jitter=jitter),
        first=15,
        in_flight=200,
    )


def _idle(now: float) -> float:
    return 100.0 if now % 200 < 30 else 0.2


SCENARIOS: Final = (
    *(
        Scenario(
            name=f"{rate:g}/s known, {workers} workers",
            server=bucket(rate, 0.2),
            ceiling=rate,
            possible=rate,
            pool=Pool(workers=workers),
            first=5,
            last=30,
        )
        for rate, workers in ((50, 1), (50, 16), (200, 4))
    ),
    _steady(10, 0.2),
    _steady(50, 0.02),
    _steady(50, 0.2),
    _steady(50, 1),
    _steady(200, 0.2),
    _steady(200, 1, latency=0.3),
    _steady(1000, 0.2),
    Scenario(
        name="50 in each second of the clock, ceiling ten times that",
        server=lambda: Window(50),
        ceiling=500,
        possible=50,
    ),
    Scenario(
        name="50 in any second, ceiling ten times that",
        server=lambda: Sliding(50),
        ceiling=500,
        possible=50,
    ),
    _longer("500 in any ten seconds", lambda: Sliding(500, 10), 50, 180),
    _longer("600 in each minute of the clock", lambda: Window(600, 60), 10, 360),
    *(
        Scenario(
            name=f"everything refused for {seconds} s, 50/s known: the next 10th to 30th second",
            server=bucket(1e6, 1),
            ceiling=50,
            possible=50,
            changes=((30, lambda: Window(0)), (30 + seconds, bucket(1e6, 1))),
            first=40 + seconds,
            last=60 + seconds,
        )
        for seconds in (5, 60)
    ),
    _strays(0.001),
    _strays(0.01),
    _strays(0.01, retry_after=5),
    _strays(0.05),
    _strays(0.05, 3),
    _strays(0.1),
    _changing(
        "50/s falls to a quarter: the 5th to the 25th second", 50, (30, 12.5), first=35, last=55
    ),
    _changing(
        "comes back: the 15th to the 30th second", 50, (30, 12.5), (60, 50), first=75, last=90
    ),
    _changing("rises fourfold: the 15th to the 30th second", 50, (60, 200), first=75, last=90),
    _changing("a second tenant takes half: from the 10th second", 50, (30, 25), first=40, last=60),
    _changing("gives it back: from the 10th second", 50, (30, 25), (60, 50), first=70, last=90),
    _cap(10, 0.1, 0.2),
    _cap(10, 0.5, 0.5),
    _cap(40, 0.1, 0.2),
    Scenario(
        name="50/s, ceiling 500, a hundred jobs a second after three quiet minutes",
        server=bucket(50, 0.2),
        ceiling=500,
        possible=50,
        pool=Pool(demand=_idle),
        first=212,
        last=227,
    ),
)


@contextmanager
def quick_store() -> Iterator[Redis]:
    """Give a store that keeps nothing on disk."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder)).start()
        try:
            with server.client() as store:
                store.config_set("appendonly", "no")
                yield store
        finally:
            server.stop()


def play(scenario: Scenario, limiter: Limiter) -> Run:
    """Run one scenario."""
    changes = [(at, make()) for at, make in scenario.changes]
    return Simulation(
        limiter, scenario.server(), pool=scenario.pool, seconds=scenario.last, changes=changes
    ).run()


def _limiter(name: str, scenario: Scenario, store: Redis) -> Limiter:
    if name == OURS:
        return OurLimiter(store, rate=scenario.ceiling, in_flight=scenario.in_flight)
    return Rival(RIVALS[name](), rate=scenario.ceiling, in_flight=scenario.in_flight)


def _plot(store: Redis, folder: Path) -> None:
    scenario = _changing("", 50, (40, 12.5), (70, 50), first=0, last=110)
    seen = play(scenario, _limiter(OURS, scenario, store))
    corners = ((0, 50), (40, 50), (40, 12.5), (70, 12.5), (70, 50), (110, 50))
    lines = [
        Line("the limit", corners, dashed=True),
        Line("the rate in force", [point for point in seen.rates if point[1] <= 100]),
        Line("accepted", list(enumerate(seen.accepted[:110]))),
        Line("429", list(enumerate(seen.refused[:110]))),
    ]
    title = "The model: an unknown limit of 50/s, with a ceiling of 500/s"
    write_chart(folder / "limit-model.svg", title, lines, x="seconds", y="calls/s")


def main() -> None:
    """Run the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--ours", action="store_true", help="without the other ways")
    parser.add_argument("--plots", type=Path, help="folder for the SVG; it takes .venv-bench")
    arguments = parser.parse_args()
    names = [OURS] if arguments.ours else [OURS, *RIVALS]
    print("| goodput ÷ what is possible, share refused |", " | ".join(names), "|")
    print("|---" * (len(names) + 1), "|", sep="")
    with quick_store() as store:
        for scenario in SCENARIOS:
            if arguments.only not in scenario.name:
                continue
            cells = []
            for name in names:
                seen = play(scenario, _limiter(name, scenario, store))
                good = seen.goodput(scenario.first, scenario.last) / scenario.possible
                share = seen.refused_share(scenario.first, scenario.last)
                cells.append(f"{good:.2f}, {100 * share:.1f} %")
            print(f"| {scenario.name} |", " | ".join(cells), "|", flush=True)
        if arguments.plots:
            _plot(store, arguments.plots)


if __name__ == "__main__":
    main()
