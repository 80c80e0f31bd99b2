"""`overture status`: counts, queues and limits, or one job's history."""

from __future__ import annotations

import json
from typing import Literal

import click

from console.admin.overview import take_overview
from console.admin.records import known_accounts, read_record
from console.output import Problem, printable, say, writing
from console.params import NAME
from console.servers import Reach, complain_of_servers, reach, read_settings
from console.tables import console, describe, show_overview, width_of_terminal


@click.command()
@click.argument("job", type=NAME, required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
)
def command(job: str | None, *, form: Literal["text", "json"]) -> None:
    """Show counts, queues and limits, or the history of one job. JOB is its id.

    Counts are totals since the beginning. "waiting" messages are ready to be taken, "delayed"
    messages are not due yet, and messages "in hand" are being worked on. A - means that the broker
    does not say.
    """
    settings = read_settings()
    with reach(settings) as within:
        complain_of_servers(within)
        if job is None:
            overview = take_overview(within.broker, within.store, settings)
            if form == "json":
                say(json.dumps(overview.to_dict(), indent=2))
            else:
                with writing():
                    console().print(show_overview(overview, width_of_terminal()))
            return
        _show_job(within, known_accounts(within.store, settings), job, form)


def _show_job(within: Reach, accounts: list[str], job: str, form: Literal["text", "json"]) -> None:
    found = [read_record(within.store, account_id, job) for account_id in accounts]
    records = [record for record in found if record is not None]
    if not records:
        raise Problem(
            f"job {job} is unknown: no worker has seen it yet, or it ended long ago, or its "
            "account is not configured here"
        )
    for record in records:
        if form == "json":
            say(json.dumps(record.to_dict(), indent=2))
        else:
            say("\n".join(map(printable, describe(record))))
