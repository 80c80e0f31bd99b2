"""`python -m benchmarks.tables docs/performance.json`: what was found, as tables for the docs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

REFERENCE: Final = "celery"
BROKERS: Final = {"rabbitmq": "RabbitMQ", "valkey": "Valkey"}
CONTESTANTS: Final = {
    "overture": "Overture",
    "bare": "bare `requests`",
    "celery": "plain Celery",
    "dramatiq": "dramatiq",
    "taskiq": "taskiq + aiohttp",
}
FIGURES: Final = {
    "worker_cpu": "worker CPU per conversation, µs",
    "rate": "conversations per second, one process",
    "broker_cpu": "broker CPU per conversation, µs",
    "pss": "worker memory, MiB of PSS",
}
WITHOUT_RATIO: Final = frozenset({"pss"})
WITHOUT_BROKER: Final = "bare"

Row = Mapping[str, Any]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    """Print the tables of a run of `benchmarks.pipelines`, in Markdown."""
    found = json.loads(file.read_text())["found"]
    print("\n\n".join(tables(found)))


def tables(found: Sequence[Row]) -> Iterator[str]:
    """Yield a table for each broker and figure, with ratios to the reference in brackets."""
    for broker, broker_name in BROKERS.items():
        rows = [row for row in found if row["broker"] == broker and "latency" in row]
        rounds = list(dict.fromkeys((row["latency"], row["concurrency"]) for row in rows))
        if rounds:
            for figure, title in FIGURES.items():
                lines = "\n".join(_lines(rows, rounds, figure))
                yield f"**{broker_name}: {title}**\n\n{lines}"


def _lines(rows: Sequence[Row], rounds: Sequence[tuple[int, int]], figure: str) -> Iterator[str]:
    heads = [f"{latency} ms, {slots} at a time" for latency, slots in rounds]
    yield f"| | {' | '.join(heads)} |"
    yield f"|---|{'--:|' * len(heads)}"
    for name, shown in CONTESTANTS.items():
        if figure == "broker_cpu" and name == WITHOUT_BROKER:
            continue
        cells = [_cell(rows, one, name, figure) for one in rounds]
        yield f"| {shown} | {' | '.join(cells)} |"


def _cell(rows: Sequence[Row], one: tuple[int, int], name: str, figure: str) -> str:
    values = {
        row["name"]: row[figure] for row in rows if (row["latency"], row["concurrency"]) == one
    }
    if name not in values:
        return "stalled"
    ratio = f" ({values[name] / values[REFERENCE]:.2f})"
    return f"{values[name]:.0f}{'' if figure in WITHOUT_RATIO else ratio}"


if __name__ == "__main__":
    main()
