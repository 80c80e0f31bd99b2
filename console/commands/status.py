"""`overture status`: counts, queues and limits, or one job's history."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from console.admin.overview import take_overview
from console.admin.records import Record, known_accounts, read_record
from console.help import examples
from console.listing import as_json, format_option, output_option, write_text
from console.output import Problem, printable, writing
from console.params import NAME
from console.servers import Servers, complain_of_servers, open_servers, read_settings
from console.tables import console, describe, show_overview, width_of_terminal


@click.command(epilog=examples("overture status", "overture status order-1001"))
@click.argument("job", type=NAME, required=False)
@format_option("text", "json")
@output_option
def command(job: str | None, *, form: Literal["text", "json"], output: Path | None) -> None:
    """Show counts, queues and limits, or the history of one job. JOB is its id.

    Counts are totals since the beginning. "waiting" messages are ready to be taken, "delayed"
    messages are not due yet, and messages "in hand" are being worked on. A - means that the broker
    does not say.
    """
    settings = read_settings()
    with open_servers(settings) as servers:
        complain_of_servers(servers)
        if job is None:
            overview = take_overview(servers.broker, servers.store, settings)
            if form == "json":
                write_text(as_json(overview.to_dict()), output)
            elif output is not None:
                write_text(str(show_overview(overview)), output)
            else:
                with writing():
                    console().print(show_overview(overview, width_of_terminal()))
            return
        records = _records(servers, known_accounts(servers.store, settings), job)
    if form == "json":
        write_text("\n".join(as_json(record.to_dict()) for record in records), output)
    else:
        lines = (line for record in records for line in describe(record))
        write_text("\n".join(map(printable, lines)), output)


def _records(servers: Servers, accounts: list[str], job: str) -> list[Record]:
    found = [read_record(servers.store, account_id, job) for account_id in accounts]
    records = [record for record in found if record is not None]
    if not records:
        raise Problem(
            f"job {job} is unknown: no worker has seen it yet, or it ended long ago, or its "
            "account is not configured here"
        )
    return records
