"""`python -m benchmarks.metrics`: what it costs a worker to be measured.

Three times: the measurements and pages of a worker at work, by the clock of each thread, as a share
of the process's time; those of one job in a loop of their own; and whole workers with metrics and
without, in turns on the same servers. Whole workers differ from run to run by more than what
metrics cost: they would show what the other two miss, if it were much.
"""

from __future__ import annotations

import re
import statistics
import threading
import time
import timeit
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.request import urlopen

import click

from benchmarks.brokers import servers
from benchmarks.contest import run
from benchmarks.contestant import Case
from benchmarks.fake_api import FakeApi
from benchmarks.machine import description
from benchmarks.timed_worker import CALLS, EMPTY, SPENT
from tasks.messages.outgoing import now
from tests.redis_server import free_port
from worker.metrics import WorkerMetrics

# Prometheus's own default is a minute; most use fifteen seconds.
SCRAPE_SECONDS: Final = 5.0
ACCOUNT: Final = "12345678"
REPEATS: Final = 5000
REPEATED: Final = 15


@click.command()
@click.option("--broker", default="valkey", show_default=True)
@click.option("--jobs", default=6000, show_default=True, help="Jobs that are measured in a run.")
@click.option("--at-work", default=20_000, show_default=True, help="Jobs of the timed run.")
@click.option("--pairs", default=5, show_default=True, help="Runs with metrics, and without.")
def main(*, broker: str, jobs: int, at_work: int, pairs: int) -> None:
    """Print what metrics cost, and what share that is of a worker's processor time."""
    click.echo(description())
    click.echo(f"measurements of a job by themselves: {by_themselves():.2f} µs")
    ratios, plain = [], []
    with FakeApi() as api, servers(broker) as started:
        case = Case(
            broker=broker,
            name="overture",
            latency=50,
            concurrency=50,
            jobs=at_work,
            metrics_address=_address(),
            is_timed=True,
        )
        with scraping(case.metrics_address) as pages:
            run(case, started, api)
        click.echo(share(pages))
        for pair in range(pairs):
            found = {}
            # Whoever is second finds the machine as the first one left it: they take turns.
            for address in ("", _address())[:: 1 if pair % 2 else -1]:
                case = Case(
                    broker=broker,
                    name="overture",
                    latency=50,
                    concurrency=50,
                    jobs=jobs,
                    metrics_address=address,
                )
                with scraping(address):
                    found[bool(address)] = run(case, started, api).worker_cpu
            ratios.append(found[True] / found[False])
            plain.append(found[False])
            click.echo(
                f"worker CPU a job: {found[False]:.0f} µs, with metrics {found[True]:.0f} µs, "
                f"ratio {ratios[-1]:.3f}"
            )
    if pairs:
        click.echo(
            f"median of {pairs}: {statistics.median(ratios):.3f}, from {min(ratios):.3f} to "
            f"{max(ratios):.3f}; by themselves {1 + by_themselves() / statistics.median(plain):.3f}"
        )


def by_themselves() -> float:
    """Return how long the measurements of an ordinary job take, in microseconds."""
    metrics, enqueued_at = WorkerMetrics([ACCOUNT]), now()

    def job() -> None:
        metrics.permitted(0.002)
        metrics.called("asyncMessagingEnt", 200, 0.051)
        metrics.attempted(ACCOUNT, "created")
        metrics.ended(ACCOUNT, "created", enqueued_at)

    # Processor time: of a busy machine, time itself says little.
    times = timeit.repeat(job, number=REPEATS, repeat=REPEATED, timer=time.process_time)
    return 1e6 * min(times) / REPEATS


def share(pages: list[str]) -> str:
    """Say what share of its processor time a worker spent on metrics, between two of its pages."""

    def between(name: str) -> float:
        # Not the first one: the worker was starting.
        before, after = (
            sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)))
            for page in (pages[1], pages[-1])
        )
        return after - before

    (empty,) = re.findall(rf"^{EMPTY} (\S+)$", pages[-1], re.MULTILINE)
    spent = (between(SPENT) - between(CALLS) * float(empty)) / 1e9
    whole, jobs = between("process_cpu_seconds_total"), between("overture_jobs_total")
    return (
        f"at work: {1e6 * spent / jobs:.1f} of {1e6 * whole / jobs:.0f} µs a job, "
        f"{spent / whole:.2%}, in {jobs:.0f} jobs"
    )


@contextmanager
def scraping(address: str) -> Iterator[list[str]]:
    """Scrape as Prometheus does, if there is an address; gives the pages."""
    ended, pages = threading.Event(), list[str]()

    def scrape() -> None:
        while not ended.wait(SCRAPE_SECONDS):
            with suppress(OSError), urlopen(f"http://{address}/metrics", timeout=5) as answer:
                pages.append(answer.read().decode())

    thread = threading.Thread(target=scrape, daemon=True)
    if address:
        thread.start()
    try:
        yield pages
    finally:
        ended.set()


def _address() -> str:
    return f"127.0.0.1:{free_port()}"


if __name__ == "__main__":
    main()
