"""`overture workers`: each worker that runs, wherever that is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from console.admin.overview import list_workers
from console.help import examples
from console.listing import FORMS, AnyForm, format_option, output_option, write_list
from console.servers import open_servers, read_settings
from console.tables import Column, Document, at


def uptime(worker: Document) -> str:
    """Return how long a worker has been running."""
    seconds = worker["uptimeSeconds"]
    return "" if seconds is None else str(timedelta(seconds=seconds))


COLUMNS: Final = (
    Column("worker", at("worker"), width=16),
    Column("host", at("host"), width=20),
    Column("pid", at("pid"), width=7),
    Column("version", at("version"), width=7),
    Column("uptime", uptime, width=16),
    Column("threads", at("threads"), width=7),
    Column("inHand", at("inHand"), width=6),
    Column("draining", lambda worker: "yes" if worker["draining"] else "no", width=8),
    Column("queues", lambda worker: " ".join(worker["queues"] or ()), width=20),
    Column("heldUpBy", at("heldUpBy"), width=8),
)


@click.command(epilog=examples("overture workers", "overture workers --format json"))
@format_option(*FORMS)
@output_option
def command(*, form: AnyForm, output: Path | None) -> None:
    """List the workers that run, on whatever machine, as they stood two seconds ago at most.

    A worker that was killed is listed for 7 s more. "in hand" counts the messages that it has taken
    and not settled yet, "draining" is one that was asked to end.
    """
    with open_servers(read_settings()) as servers:
        workers = list_workers(servers.store)
    write_list(workers, COLUMNS, form=form, output=output)
