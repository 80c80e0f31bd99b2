"""`make bench-limit`: real workers at a limit, beside plain Celery in the same run.

LivePerson is the simulator with a known token bucket, or a cap on requests at a time. Goodput is
accepted calls a second ÷ the limit; refused is the share of calls that were answered 429.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.chart import Line, write_chart
from benchmarks.limit_pool import ROOT, Seen, Stage, jobs
from benchmarks.limit_report import Report, accepted_line, back_after, calm_after, refused_line
from benchmarks.limit_runs import LATENCY, Runs

DOCS = ROOT / "docs"
# What an account that knows no limit has for a ceiling, in limits.
FAR = 10
WARM_UP = 5
LEARNED = 10
# A cap is found by this second.
CAPPED = 15
SMALL_RATE = 3


class Bench:
    """The scenarios; `quick` shortens them. `alone` leaves plain Celery out."""

    def __init__(
        self, stage: Stage, report: Report, *, quick: bool, alone: bool, folder: Path
    ) -> None:
        self._stage = stage
        self._runs = Runs(stage)
        self._report = report
        self._quick = quick
        self._alone = alone
        self._folder = folder

    def known(self) -> None:
        """Run at a known limit, with the ceiling set to it."""
        seconds = 12 if self._quick else 20
        lines: list[Line] = []
        for limit in (50,) if self._quick else (50, 200):
            name = f"known limit, {limit}/s"
            for workers in (1, 2) if self._quick else (1, 2, 4):
                seen = self._runs.overture(limit, workers, seconds, max_rate=limit)
                self._row(name, "overture", workers, seen, limit, WARM_UP, seconds)
                if limit == 50:
                    lines.append(accepted_line(f"Overture, {workers} workers", seen))
            for strategy in () if self._alone else ("retries", "rate_limit"):
                for workers in (2,) if self._quick else (1, 4):
                    share = f"{limit / workers:g}/s" if strategy == "rate_limit" else ""
                    seen = self._runs.celery(limit, workers, seconds, rate_limit=share)
                    title = f"Celery {strategy}"
                    self._row(name, title, workers, seen, limit, WARM_UP, seconds)
                    if limit == 50 and workers != 1:
                        lines += [
                            accepted_line(title, seen),
                            refused_line(f"its 429s ({strategy})", seen),
                        ]
        self._chart("limit-known", "Known limit of 50/s: calls a second", lines)

    def learned(self) -> None:
        """Find an unknown limit, from cold."""
        for limit, workers in ((50, 2),) if self._quick else ((50, 1), (50, 4), (200, 4)):
            seen = self._runs.overture(limit, workers, 30, max_rate=FAR * limit)
            self._row(f"unknown limit, {limit}/s", "overture", workers, seen, limit, LEARNED, 30)
        if not self._alone:
            plain = self._runs.celery(50, 2, 20)
            self._row("unknown limit, 50/s", "Celery retries", 2, plain, 50, LEARNED, 20)

    def strays(self) -> None:
        """Meet refusals that have nothing to do with the pace."""
        seconds = 40 if self._quick else 180
        # The simulator's own limit is out of the way.
        seen = self._runs.overture(1e6, 2, seconds, jobs_a_second=50, max_rate=50, refused=0.01)
        self._row("1 % of calls refused, ceiling 50/s", "overture", 2, seen, 50, 0, seconds)
        last = seconds - seconds // 3
        self._row("  its last third", "overture", 2, seen, 50, last, seconds)
        seconds = 30 if self._quick else 60
        seen = self._runs.overture(
            1e6, 2, seconds, jobs_a_second=50, max_rate=50, stray_consumers=0.05
        )
        possible = 50 / (1 + 0.05 * 3)
        name = "5 % of consumers refused three times"
        self._row(name, "overture", 2, seen, possible, WARM_UP, seconds)

    def changing(self) -> None:
        """Follow a limit that falls to a quarter, or to half, and comes back."""
        learn, cut, back = (20, 25, 25)
        for limit, workers, part in (
            ((50, 2, 4),) if self._quick else ((50, 1, 4), (200, 4, 4), (50, 2, 2))
        ):
            changes = [(learn, limit / part), (learn + cut, limit)]
            seconds = learn + cut + back
            seen = self._runs.overture(
                limit, workers, seconds, max_rate=FAR * limit, changes=changes
            )
            calm, whole = calm_after(seen, learn, learn + cut), back_after(seen, learn + cut, limit)
            after = 5 if part == 4 else 10
            low = seen.goodput(learn + after, learn + cut) / (limit / part)
            share, notes = seen.refused_share(learn + 5, learn + cut), f"below 1 % after {calm} s"
            name = f"{limit}/s falls to 1/{part} of it"
            self._report.row(name, "overture", workers, low, share, notes)
            self._report.row("  restored", "overture", workers, None, None, f"90 % after {whole} s")
            if (limit, part) == (50, 4) and not self._alone:
                plain = self._runs.celery(limit, workers, seconds, changes=changes)
                share = plain.refused_share(learn + 5, learn + cut)
                self._report.row(name, "Celery retries", workers, None, share)
                limits = [(0, limit), (learn, limit), (learn, limit / part)]
                limits += [(learn + cut, limit / part), (learn + cut, limit), (seconds, limit)]
                lines = [
                    Line("the limit", limits, dashed=True),
                    accepted_line("Overture, accepted", seen),
                    refused_line("Overture, 429", seen),
                    accepted_line("Celery, accepted", plain),
                    refused_line("Celery, 429", plain),
                ]
                self._chart("limit-learned", "An unknown limit: calls a second", lines)

    def concurrent(self) -> None:
        """Keep below a cap on requests at a time, known and not; also while a worker is killed."""
        cap, seconds = 10, 12 if self._quick else 20
        stage = self._stage
        limit = self._runs.possible(cap, 10)
        self._report.row(
            f"cap of {cap} at a time", "nothing but calls", 1, None, None, f"{limit:.1f}/s"
        )
        stage.clean(maxConcurrent=cap)
        stage.fill(jobs(round(limit * seconds * 2)))
        with stage.overture(2, max_rate=10 * limit, max_in_flight=cap) as workers:
            stage.watch(seconds / 2)
            workers[0].kill()
            workers[0].start()
            seen = stage.watch(seconds)
        self._row(
            f"cap of {cap} at a time, known", "overture", 2, seen, limit, WARM_UP, seconds // 2
        )
        killed = f"most in flight {seen.most_in_flight}, a worker killed at {seconds // 2} s"
        self._row("  with a worker killed", "overture", 2, seen, limit, 0, seconds, killed)
        seconds = 30
        seen = self._runs.overture(
            limit, 2, seconds, max_rate=10 * limit, max_in_flight=100, cap=cap
        )
        self._row(f"cap of {cap}, unknown", "overture", 2, seen, limit, CAPPED, seconds)
        if not self._alone:
            seen = self._runs.celery(limit, 2, 15, cap=cap)
            self._row(f"cap of {cap}, unknown", "Celery retries", 2, seen, limit, WARM_UP, 15)

    def fair(self) -> None:
        """Let 19 accounts have what they get alone, beside one with a hundred times as much."""
        seconds, burst = (12, 3000) if self._quick else (33, 10_000)
        small = [f"{10000001 + number}" for number in range(19)]
        huge = "10000000"
        accounts = {f"accounts__{a}__client_id": "demo" for a in (*small, huge)}
        accounts |= {f"accounts__{a}__client_secret": "demo" for a in (*small, huge)}
        got: list[dict[str, int]] = []
        for others in (0, burst):
            stage = self._stage
            stage.clean()
            stage.fill(jobs(others, account=huge))
            with stage.overture(2, max_rate=10, **accounts):
                self._stream(small, seconds)
                time.sleep(1)
                stats = stage.liveperson.stats()["accounts"]
                rows = {a: stats.get(a, {}).get("perSecond", []) for a in (*small, huge)}
            got.append({a: sum(row["accepted"] for row in found) for a, found in rows.items()})
        ratios = sorted(got[1][a] / max(1, got[0][a]) for a in small)
        self._report.row(
            f"20 accounts, one with {burst} jobs", "overture", 2, None, None,
            f"small accounts get {ratios[0]:.3f} (least) to {ratios[-1]:.3f} of what they get "
            f"alone; the huge one {got[1][huge] / (seconds + 1):.1f}/s of 10",
        )  # fmt: skip

    def _stream(self, accounts: list[str], seconds: int) -> None:
        """Enqueue a few jobs a second for each of the accounts."""
        for second in range(seconds):
            started = time.monotonic()
            self._stage.fill(
                job
                for account in accounts
                for job in jobs(SMALL_RATE, account=account, first=second * SMALL_RATE)
            )
            time.sleep(max(0.0, 1 - (time.monotonic() - started)))

    def _row(
        self,
        scenario: str,
        strategy: str,
        workers: int,
        seen: Seen,
        limit: float,
        first: int,
        last: int,
        notes: str | None = None,
    ) -> None:
        notes = seen.learned if notes is None else notes
        goodput, refused = seen.goodput(first, last) / limit, seen.refused_share(first, last)
        self._report.row(scenario, strategy, workers, goodput, refused, notes)

    def _chart(self, name: str, title: str, lines: list[Line]) -> None:
        write_chart(self._folder / f"{name}.svg", title, lines, x="seconds", y="calls/s")


def scenarios(bench: Bench) -> Iterator[tuple[str, Callable[[], None]]]:
    """Name the scenarios, in their order."""
    yield "known", bench.known
    yield "learned", bench.learned
    yield "strays", bench.strays
    yield "changing", bench.changing
    yield "concurrent", bench.concurrent
    yield "fair", bench.fair


def main() -> None:
    """Run the scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter")
    parser.add_argument("--alone", action="store_true", help="without plain Celery")
    parser.add_argument("--only", help="known, learned, strays, changing, concurrent or fair")
    parser.add_argument("--times", type=int, default=1, help="how often to run each")
    parser.add_argument("--plots", type=Path, default=DOCS, help="folder for the SVG files")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        stage = Stage(stack, "--any-account", "--latency", LATENCY)
        bench = Bench(
            stage,
            Report(),
            quick=arguments.quick,
            alone=arguments.alone,
            folder=arguments.plots,
        )
        for name, scenario in scenarios(bench):
            for _ in range(arguments.times if arguments.only in {None, name} else 0):
                scenario()


if __name__ == "__main__":
    main()
