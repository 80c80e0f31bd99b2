"""`python -m benchmarks.metrics`: what it costs a worker to be measured.

Twice: whole workers with metrics and without, in turns on the same servers, since a machine is
never quiet enough for one run of each; and the measurements of one job by themselves, which differ
less from run to run.
"""

from __future__ import annotations

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
@click.option("--pairs", default=5, show_default=True, help="Runs with metrics, and without.")
def main(*, broker: str, jobs: int, pairs: int) -> None:
    """Print the ratio of worker CPU a job with metrics to that without, pair by pair."""
    click.echo(description())
    click.echo(f"measurements of a job by themselves: {by_themselves():.2f} µs")
    ratios, plain = [], []
    with FakeApi() as api, servers(broker) as started:
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


@contextmanager
def scraping(address: str) -> Iterator[None]:
    """Scrape as Prometheus does, if there is an address."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(SCRAPE_SECONDS):
            with suppress(OSError), urlopen(f"http://{address}/metrics", timeout=5) as answer:
                answer.read()

    thread = threading.Thread(target=scrape, daemon=True)
    if address:
        thread.start()
    try:
        yield
    finally:
        ended.set()


def _address() -> str:
    return f"127.0.0.1:{free_port()}"


if __name__ == "__main__":
    main()
