"""`python -m benchmarks.pipelines`: whole pipelines side by side, in turns on the same servers."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.brokers import Servers, servers
from benchmarks.chart import Line, write_chart
from benchmarks.contest import Measured, Stalled, lone, run
from benchmarks.contestant import NAMES, Case
from benchmarks.fake_api import FakeApi
from benchmarks.machine import description

# The API's latency in ms, and how many jobs at a time each contestant works on.
ROUNDS = ((0, 20), (50, 50), (200, 100), (200, 500))
LONE_JOBS = 50
REFERENCE = "celery"


@click.command()
@click.option("--broker", "brokers", multiple=True, default=("rabbitmq", "valkey"))
@click.option("--jobs", default=3000, show_default=True, help="Jobs that are measured in a run.")
@click.option("--latency", "latencies", type=int, multiple=True, help="These rounds alone.")
@click.option("--runs", default=3, show_default=True, help="Of which the medians are shown.")
@click.option("--pin", is_flag=True, help="Keep the others on one processor as well.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write JSON, and charts beside it.",
)
def main(
    *,
    brokers: tuple[str, ...],
    jobs: int,
    latencies: tuple[int, ...],
    runs: int,
    pin: bool,
    output: Path | None,
) -> None:
    """Compare Overture, every safety on, with pipelines that have none."""
    console = Console(width=130)
    console.print(description())
    found: list[dict[str, Any]] = []
    rounds = [one for one in ROUNDS if not latencies or one[0] in latencies]
    with FakeApi() as api:
        for name in brokers:
            with servers(name) as started:
                for latency, concurrency in rounds:
                    cases = [
                        Case(
                            broker=name,
                            name=contestant,
                            latency=latency,
                            concurrency=concurrency,
                            jobs=jobs,
                            is_pinned=pin and contestant != "overture",
                        )
                        for contestant in NAMES
                    ]
                    medians = dict(_round(cases, started, api, runs))
                    console.print(_table(cases[0], medians))
                    found += [
                        {**asdict(case), **asdict(medians[case.name])}
                        for case in cases
                        if case.name in medians
                    ]
                    _keep(output, found, runs)
                found += _lone(name, started, api, console)
                _keep(output, found, runs)


def _keep(output: Path | None, found: list[dict[str, Any]], runs: int) -> None:
    """Write down what has been found so far."""
    if output is None:
        return
    text = json.dumps({"machine": description(), "runs": runs, "found": found}, indent=1)
    output.write_text(text + "\n")
    for broker in {row["broker"] for row in found}:
        _draw(broker, found, output.with_name(f"{output.stem}-{broker}.svg"))


def _round(
    cases: list[Case], started: Servers, api: FakeApi, runs: int
) -> Iterator[tuple[str, Measured]]:
    """Give each contestant its turns, one after the other, and yield their medians."""
    measured: dict[str, list[Measured]] = {case.name: [] for case in cases}
    for _ in range(runs):
        for case in cases:
            try:
                measured[case.name].append(run(case, started, api))
            except Stalled:
                click.echo(f"{case.name} stalled on {case.broker} at {case.latency} ms")
    for name, results in measured.items():
        if results:
            middle = {
                field.name: statistics.median(getattr(result, field.name) for result in results)
                for field in fields(Measured)
            }
            yield name, Measured(**middle)


def _lone(name: str, started: Servers, api: FakeApi, console: Console) -> list[dict[str, Any]]:
    """Time single jobs in idle pipelines."""
    rows: list[dict[str, Any]] = []
    for contestant in ("overture", REFERENCE):
        case = Case(broker=name, name=contestant, latency=0, concurrency=20, jobs=LONE_JOBS)
        times = statistics.quantiles(lone(case, started, api), n=100)
        row = {"broker": name, "name": contestant, "lone_p50": times[49], "lone_p99": times[98]}
        console.print(
            f"{name}, a lone job: {contestant} p50 {times[49]:.1f} ms, p99 {times[98]:.1f}"
        )
        rows.append(row)
    return rows


def _draw(broker: str, found: list[dict[str, Any]], path: Path) -> None:
    """Draw what a conversation costs each contestant, for up to a hundred at a time."""
    rounds = [row for row in found if row["broker"] == broker and row.get("concurrency", 500) < 500]
    lines = [
        Line(name, [(row["latency"], row["worker_cpu"]) for row in rounds if row["name"] == name])
        for name in NAMES
    ]
    title = f"Worker CPU for a conversation, {broker}"
    write_chart(path, title, lines, x="the API's latency, ms", y="µs")


def _table(case: Case, medians: dict[str, Measured]) -> Table:
    title = f"{case.broker}, API at {case.latency} ms, {case.concurrency} at a time"
    table = Table(title=title, caption=f"in brackets: against {REFERENCE}; CPU in µs a job")
    for column in ("", "jobs/s", "worker CPU", "broker CPU", "store CPU", "PSS MiB"):
        table.add_column(column, justify="left" if not column else "right")
    base = medians.get(REFERENCE)
    for name, found in medians.items():
        table.add_row(
            name,
            f"{found.rate:.0f}{_ratio(found.rate, base.rate if base else None)}",
            f"{found.worker_cpu:.0f}{_ratio(found.worker_cpu, base.worker_cpu if base else None)}",
            f"{found.broker_cpu:.0f}{_ratio(found.broker_cpu, base.broker_cpu if base else None)}",
            f"{found.store_cpu:.0f}",
            f"{found.pss:.0f}",
        )
    return table


def _ratio(value: float, base: float | None) -> str:
    return f" ({value / base:.2f})" if base else ""


if __name__ == "__main__":
    main()
