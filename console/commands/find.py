"""`overture find`: the jobs of a consumer, or the job of a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from console.admin.person import job_of_conversation, jobs_of_consumer
from console.admin.records import Record
from console.help import examples
from console.listing import FORMS, AnyForm, format_option, output_option, write_list
from console.output import complain
from console.params import NAME
from console.servers import open_servers, read_settings
from console.tables import Column, at
from tasks.store.brake import accounts_of

COLUMNS: Final = (
    Column("jobId", at("jobId"), width=36),
    Column("accountId", at("accountId"), width=10),
    Column("state", at("state"), width=9),
    Column("outcome", at("status"), width=17),
    Column("conversationId", at("conversationId"), width=36),
    Column("seenAt", at("seenAt"), width=24),
    Column("waitsFor", at("waitsFor"), width=12),
)


@click.command(
    epilog=examples(
        "overture find --consumer c-9f2d7c1e",
        "overture find --conversation 8602832d-dce1-446b-8445-0d51f5926a42",
    )
)
@click.option("--consumer", type=NAME, metavar="ID", help="The jobs of this consumerId.")
@click.option("--conversation", type=NAME, metavar="ID", help="The job of this conversationId.")
@format_option(*FORMS)
@output_option
def command(
    *, consumer: str | None, conversation: str | None, form: AnyForm, output: Path | None
) -> int:
    """Find the jobs of a consumer, or the job that a conversation was opened for.

    Jobs are found from when a worker first sees them for as long as the ledger keeps them
    (OVERTURE_DEDUPE_DAYS, a week at least while they wait). overture status JOB tells more of one.
    """
    if (consumer is None) == (conversation is None):
        raise click.UsageError("give either --consumer or --conversation")
    settings = read_settings()
    with open_servers(settings) as servers:
        accounts = accounts_of(servers.store, settings.accounts)
        if consumer is not None:
            found = jobs_of_consumer(servers.store, settings, accounts, consumer)
        else:
            found = job_of_conversation(servers.store, settings, accounts, str(conversation))
    write_list(map(_row, found), COLUMNS, form=form, output=output)
    if not found:
        complain("no job is known: none was seen by a worker, or it ended long ago")
    return int(not found)


def _row(record: Record) -> dict[str, Any]:
    outcome = record.outcome or {}
    error = outcome.get("error") or {}
    return {
        "jobId": record.job_id,
        "accountId": record.account_id,
        "state": record.state,
        "status": f"failed:{error.get('code')}" if error else outcome.get("status"),
        "conversationId": outcome.get("conversationId"),
        "seenAt": record.seen_at,
        "nextAttemptAt": record.next_attempt_at,
        "waitsFor": record.waits_for,
    }
