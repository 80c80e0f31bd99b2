"""The limiter in made-up time: a table of what it reaches, and plots of how it gets there.

The model is `limit_simulation`; what it says holds as far as a machine keeps up with its threads.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from benchmarks.limit_pool import ROOT
from benchmarks.limit_servers import Bucket, Cap, Server, Window
from benchmarks.limit_simulation import OurLimiter, Pool, Run, Simulation
from benchmarks.svg import Line, write_chart
from tests.redis_server import RedisServer

LEARNED, END = 30, 90
CUT, BACK, OVER = 60, 90, 130


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


class Model:
    """Runs of the model on one store."""

    def __init__(self, store: Redis, folder: Path, *, quick: bool) -> None:
        self._store = store
        self._folder = folder
        self._quick = quick

    def run(
        self,
        server: Server,
        *,
        ceiling: float,
        in_flight: int = 200,
        seconds: int = END,
        changes: tuple[tuple[float, Server], ...] = (),
        pool: Pool | None = None,
    ) -> Run:
        """Run a pool before a server."""
        limiter = OurLimiter(self._store, rate=ceiling, in_flight=in_flight)
        return Simulation(
            limiter, server, pool=pool or Pool(), seconds=seconds, changes=changes
        ).run()

    def steady(self) -> None:
        """Tell what is reached from the thirtieth second on."""
        print("limit  ceiling   burst  workers   goodput  refused")
        for limit in (50,) if self._quick else (10, 50, 200):
            for times in (1, 2, 20):
                for burst in (0.1, 1):
                    for workers in (1, 4) if limit == 50 else (4,):
                        pool = Pool(workers=workers)
                        seen = self.run(Bucket(limit, burst), ceiling=times * limit, pool=pool)
                        row = f"{limit:3}/s {times:7} × {burst:5} s {workers:8}"
                        print(row, _figures(seen, limit), flush=True)

    def slow_threads(self) -> None:
        """Tell what threads that wake late cost."""
        print("\na thread wakes late by  limit  burst  goodput  refused")
        for overhead in (0.0015, 0.01, 0.03):
            for burst in (0.1, 1):
                seen = self.run(Bucket(50, burst), ceiling=200, pool=Pool(overhead=overhead))
                print(f"{1000 * overhead:19.1f} ms  50/s   {burst:3} s {_figures(seen, 50)}")

    def changing(self) -> None:
        """Tell and plot how a limit is followed that falls to a quarter and comes back."""
        print("\nlimit  burst  refused from the 5th second of the cut on   back to 90 % after")
        for limit in (50,) if self._quick else (50, 200):
            for burst in (0.1, 1):
                seen = self._changed(limit, burst)
                whole = range(BACK, OVER - 5)
                after = [s - BACK for s in whole if seen.goodput(s, s + 5) >= 0.9 * limit]
                share = 100 * seen.refused_share(CUT + 5, BACK)
                print(
                    f"{limit:4}/s {burst:5} s {share:12.2f} % {after[0] if after else '>35':38} s"
                )
                if (limit, burst) == (50, 1):
                    self._plot(limit, seen)

    def _changed(self, limit: float, burst: float) -> Run:
        changes = ((CUT, Bucket(limit / 4, burst)), (BACK, Bucket(limit, burst)))
        return self.run(Bucket(limit, burst), ceiling=4 * limit, seconds=OVER, changes=changes)

    def _plot(self, limit: float, seen: Run) -> None:
        corners = ((0, limit), (CUT, limit), (CUT, limit / 4), (BACK, limit / 4), (BACK, limit))
        lines = [
            Line("the limit", [*corners, (OVER, limit)], dashed=True),
            Line("the rate in force", [p for p in seen.rates if p[1] <= 2 * limit]),
            Line("accepted", list(enumerate(seen.accepted[:OVER]))),
            Line("429", list(enumerate(seen.refused[:OVER]))),
        ]
        title = "The model: an unknown limit of 50/s, with a ceiling of 200/s"
        path = self._folder / "limit-model.svg"
        write_chart(path, title, lines, x="seconds", y="calls/s")

    def other_limits(self) -> None:
        """Tell what becomes of limits that are no bucket."""
        print("\nanother limit                     goodput  refused")
        for limit in (10, 50):
            seen = self.run(Window(limit), ceiling=4 * limit)
            print(f"{limit} in each second of the clock    {_figures(seen, limit)}")
        for cap in (10,) if self._quick else (3, 10, 40):
            for latency, jitter in ((0.1, 0.2), (0.5, 0.5)):
                pool, most_a_second = Pool(latency=latency, jitter=jitter), cap / latency
                for known in (True, False):
                    most = cap if known else 200
                    ceiling = 10 * most_a_second
                    seen = self.run(Cap(cap), ceiling=ceiling, in_flight=most, pool=pool)
                    what = f"{cap} at a time, {latency} s ± {100 * jitter:.0f} %"
                    found = "told" if known else f"found {seen.widths[-1][1]:.0f}"
                    print(f"{what:24} {found:9}{_figures(seen, most_a_second)}", flush=True)


def _figures(seen: Run, limit: float) -> str:
    share = 100 * seen.refused_share(LEARNED, END)
    return f"{seen.goodput(LEARNED, END) / limit:8.3f}  {share:6.2f} %"


def main() -> None:
    """Run the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--plots", type=Path, default=ROOT / "docs", help="folder for the SVG")
    arguments = parser.parse_args()
    with quick_store() as store:
        model = Model(store, arguments.plots, quick=arguments.quick)
        model.steady()
        model.slow_threads()
        model.changing()
        model.other_limits()


if __name__ == "__main__":
    main()
