"""`overture demo`: the whole system on this machine, with a simulator in place of LivePerson."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from rich import box
from rich.table import Table

from config.extras import demand_extra
from console.commands.simulate import SIMULATOR
from console.demo.play import Outcomes, disagreements, play
from console.demo.sample import ACCOUNTS, DEFAULT_MESSAGES, Sample, make_sample
from console.demo.stage import WORKERS, StageError, stage
from console.help import examples
from console.output import Problem, progress, say, writing
from console.tables import console
from worker.embedded.server import EmbeddedServerError


@click.command(epilog=examples("overture demo --jobs 5000"))
@click.option(
    "--jobs",
    type=click.IntRange(min=1, max=100_000),
    default=DEFAULT_MESSAGES,
    show_default=True,
    help="Number of jobs; the special cases are always among them.",
)
def command(*, jobs: int) -> None:
    """Run a demo on this machine. It needs no configuration, and no data leaves the machine.

    The demo starts an embedded Valkey, the LivePerson simulator with two accounts, and two workers.
    It sends them jobs of every kind: with all attributes, routed by campaign and by skill,
    repeated, cancelled, expired, invalid, and some whose answers are lost. The exit status is 0
    only if what came out matches what went in and what the simulator saw.
    """
    demand_extra("demo", *SIMULATOR)
    sample = make_sample(jobs, now=datetime.now(UTC))
    with _folder() as folder:
        try:
            _show(folder, sample)
        except (StageError, EmbeddedServerError) as error:
            raise Problem(str(error)) from None


def _show(folder: Path, sample: Sample) -> None:
    say("starting Valkey, the LivePerson simulator and two workers …")
    with stage(folder) as found:
        started = time.monotonic()
        say(f"{len(sample.messages)} jobs for {len(ACCOUNTS)} accounts and {WORKERS} workers …")
        with progress("jobs", total=sample.expected.total()) as report:
            outcomes, waiting = play(found, sample, report)
        seconds = time.monotonic() - started
        stats = found.simulator.stats()
        opened = found.simulator.conversation_ids()
    with writing():
        console().print(_table(sample, outcomes, stats, seconds))
    faults = list(
        disagreements(
            outcomes,
            sample.expected,
            opened=opened,
            second_conversations=stats["secondConversations"],
            waiting=waiting,
        )
    )
    if faults:
        raise Problem(*faults, f"the logs are in {folder}")
    say("the numbers agree: every job has one outcome, and no consumer has two conversations")


def _table(sample: Sample, outcomes: Outcomes, stats: dict[str, Any], seconds: float) -> Table:
    table = Table("what happened", box=box.SIMPLE, pad_edge=False)
    table.add_column("count", justify="right")
    table.add_column("expected", justify="right")
    table.add_row("messages enqueued", str(len(sample.messages)), "")
    counts = outcomes.counts()
    for kind in sorted({*sample.expected, *counts}):
        table.add_row(
            kind.replace("failed:", "failed as "), str(counts[kind]), str(sample.expected[kind])
        )
    found = sum("resolvedBy" in result for result in outcomes.results.values())
    calls: dict[str, int] = stats["calls"].get("conversation", {})
    table.add_row("results found through the Monitoring API", str(found), "")
    table.add_row("outcomes that arrived more than once", str(outcomes.repeats), "")
    table.add_section()
    table.add_row(
        "conversations opened by the simulator",
        str(stats["conversationsCreated"]),
        str(sample.expected["created"]),
    )
    table.add_row("second conversations of a consumer", str(stats["secondConversations"]), "0")
    table.add_row("requests for conversations", str(sum(calls.values())), "")
    table.add_row("requests answered with 429", str(calls.get("429", 0)), "")
    table.add_row("faults injected", str(sum(stats["faults"].values())), "")
    table.add_section()
    table.add_row("seconds", f"{seconds:.1f}", "")
    return table


@contextmanager
def _folder() -> Iterator[Path]:
    """Yield a temporary folder, which is kept if something goes wrong."""
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="overture-demo-"))
    try:
        yield folder
    except Problem:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _interrupt(*_: object) -> NoReturn:
    """End as by Ctrl-C, so that the started processes are ended as well."""
    raise KeyboardInterrupt
