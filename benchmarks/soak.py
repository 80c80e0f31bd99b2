"""`python -m benchmarks.soak`: a worker under load for long; its memory must stay where it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import click

from benchmarks.brokers import Servers, servers
from benchmarks.contestant import Case, worker
from benchmarks.enqueue import enqueue
from benchmarks.fake_api import FakeApi
from benchmarks.jobs import job
from benchmarks.machine import anonymous_mib, description
from config.names import RESULTS_QUEUE
from worker.broker.brokers import broker_at

LATENCY_MS = 50
SLOTS = 50
POLL_SECONDS = 10.0
WARM_UP_SECONDS = 60.0


@click.command()
@click.option("--broker", "name", type=click.Choice(["rabbitmq", "valkey"]), default="rabbitmq")
@click.option("--minutes", type=float, default=60.0, show_default=True)
@click.option("--rate", default=200, show_default=True, help="Jobs a second.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here.")
def main(*, name: str, minutes: float, rate: int, output: Path | None) -> None:
    """Give a worker jobs of ever new consumers, and look at its memory every ten seconds."""
    click.echo(description())
    found = []
    with FakeApi() as api, servers(name) as started:
        for seconds, done, held in soak(started, api, minutes * 60, rate):
            found.append({"seconds": round(seconds), "jobs": done, "mib": round(held, 1)})
            click.echo(json.dumps(found[-1]))
    warm = [row for row in found if row["seconds"] >= WARM_UP_SECONDS]
    quarter = max(1, len(warm) // 4)
    first, last = (
        sum(row["mib"] for row in rows) / quarter for rows in (warm[:quarter], warm[-quarter:])
    )
    growth = {"first_quarter_mib": round(first, 1), "last_quarter_mib": round(last, 1)}
    click.echo(json.dumps(growth))
    if output is not None:
        about = {"machine": description(), "broker": name, "rate": rate}
        output.write_text(json.dumps({**about, **growth, "found": found}, indent=1) + "\n")


def soak(
    started: Servers, api: FakeApi, seconds: float, rate: int
) -> Iterator[tuple[float, int, float]]:
    """Yield the seconds that have passed, the conversations made, and the worker's MiB."""
    started.clean()
    api.set_latency(LATENCY_MS)
    case = Case(broker="", name="overture", latency=LATENCY_MS, concurrency=SLOTS, jobs=0)
    with ExitStack() as stack:
        process = stack.enter_context(worker(case, started, api, 0))
        connection = stack.enter_context(broker_at(started.broker.url).connection())
        results = cast("Any", connection.channel())
        begun, sent, looked = time.monotonic(), 0, 0.0
        while (passed := time.monotonic() - begun) < seconds:
            due = int(passed * rate)
            enqueue(started.broker.url, map(_job, range(sent, due)))
            sent = due
            if passed - looked >= POLL_SECONDS:
                looked = passed
                results.queue_purge(RESULTS_QUEUE)
                yield passed, api.conversations(), anonymous_mib(process.pid)
            time.sleep(1.0)


def _job(number: int) -> dict[str, Any]:
    """Make a job of a consumer whom no cache knows."""
    return {**job(number), "consumerId": f"consumer-{number:09d}"}


if __name__ == "__main__":
    main()
