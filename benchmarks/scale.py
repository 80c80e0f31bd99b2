"""`python -m benchmarks.scale`: what a backlog, more workers, memory and enqueueing cost."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.backlog import costs
from benchmarks.brokers import Servers, servers
from benchmarks.contest import WARM_UP, memory, wait
from benchmarks.contestant import Case, environment, fill, producer, progress, worker
from benchmarks.fake_api import FakeApi
from benchmarks.jobs import jobs
from benchmarks.machine import MIB, description

SIZES = (4000, 100_000, 1_000_000)
CREWS = (2, 4)
ONE_BY_ONE = 5000
IN_FLIGHT = 1000
SLOW_MS = 8000
LEDGER_JOBS = 20_000
SETTLE_SECONDS = 3.0


@click.command()
@click.option("--broker", "brokers", multiple=True, default=("rabbitmq", "valkey"))
@click.option("--submit", "submissions", type=int, multiple=True, default=SIZES)
@click.option("--backlog", "backlogs", type=int, multiple=True, default=SIZES)
@click.option("--jobs", default=3000, show_default=True, help="Jobs that are measured in a run.")
@click.option("--runs", default=3, show_default=True, help="Of which the medians are shown.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here.")
def main(
    *,
    brokers: tuple[str, ...],
    submissions: tuple[int, ...],
    backlogs: tuple[int, ...],
    jobs: int,
    runs: int,
    output: Path | None,
) -> None:
    """Measure Overture alone, every safety on."""
    found: list[dict[str, Any]] = []

    def note(**row: Any) -> None:
        click.echo(json.dumps(row))
        found.append(row)

    click.echo(description())
    with FakeApi() as api:
        for name in brokers:
            with servers(name) as started:
                for count in submissions:
                    note(broker=name, what="one by one", **one_by_one(started, api))
                    row = submitted(started, api, count)
                    note(broker=name, what="submit", jobs=count, **row)
                note(broker=name, what="in flight", **in_flight(started, api))
                note(broker=name, what="ledger", **ledger(started, api))
            for row in costs(name, api, sizes=backlogs, crews=CREWS, count=jobs, turns=runs):
                note(broker=name, what="cost", **row)
    if output is not None:
        output.write_text(json.dumps({"machine": description(), "found": found}, indent=1) + "\n")


def one_by_one(started: Servers, api: FakeApi) -> dict[str, float]:
    """Time a producer that has the broker confirm each `apply_async` before the next."""
    started.clean()

    def seconds(count: int) -> float:
        command = producer("celery", "fill", "0", str(count))
        begun = time.perf_counter()
        subprocess.run(command, env=environment(started, api), check=True)
        return time.perf_counter() - begun

    return {"jobs_per_second": round(ONE_BY_ONE / (seconds(ONE_BY_ONE) - seconds(0)), 1)}


def submitted(started: Servers, api: FakeApi, count: int) -> dict[str, float]:
    """Have `overture submit` enqueue a file; tell its rate, and the most memory it had."""
    started.clean()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.jsonl"
        with path.open("w") as file:
            file.writelines(f"{json.dumps(job)}\n" for job in jobs(count))
        process = subprocess.Popen(
            [sys.executable, "-m", "console", "submit", str(path)],
            env=environment(started, api),
            cwd=folder,
            stderr=subprocess.DEVNULL,
        )
        begun, most = time.perf_counter(), 0.0
        while process.poll() is None:
            most = max(most, _rss_mib(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - begun
    assert process.returncode == 0
    return {"jobs_per_second": round(count / seconds, 1), "rss_mib": round(most, 1)}


def in_flight(started: Servers, api: FakeApi) -> dict[str, float]:
    """Return what a worker holds with nothing to do, and with a thousand calls under way."""
    started.clean()
    api.set_latency(SLOW_MS)
    case = Case(broker="", name="overture", latency=SLOW_MS, concurrency=IN_FLIGHT, jobs=IN_FLIGHT)
    with worker(case, started, api, 0) as process:
        time.sleep(SETTLE_SECONDS)
        idle = memory([process])
        fill("overture", started, api, IN_FLIGHT)
        wait(lambda: api.in_flight() >= IN_FLIGHT, [process])
        busy = memory([process])
    return {"idle_mib": round(idle, 1), "growth_mib": round(busy - idle, 1)}


def ledger(started: Servers, api: FakeApi) -> dict[str, float]:
    """Return what a finished job takes in the store, and how a worker's memory goes meanwhile."""
    started.clean()
    api.set_latency(0)
    fill("overture", started, api, LEDGER_JOBS)
    store = started.store.client()
    case = Case(broker="", name="overture", latency=0, concurrency=20, jobs=LEDGER_JOBS)
    with worker(case, started, api, 0) as process, progress(case, started, api) as done:
        wait(lambda: done() >= WARM_UP, [process])
        before, first = int(store.info("memory")["used_memory"]), done()
        wait(lambda: done() >= LEDGER_JOBS // 4, [process])
        early = memory([process])
        wait(lambda: done() >= LEDGER_JOBS, [process])
        late, after = memory([process]), int(store.info("memory")["used_memory"])
    each = (after - before) / (LEDGER_JOBS - first)
    return {
        "bytes_per_job": round(each),
        "worker_growth_mib": round(late - early, 1),
    }


def _rss_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * 4096 / MIB


if __name__ == "__main__":
    main()
