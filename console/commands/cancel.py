"""`overture cancel`: cancels jobs before they are sent."""

from __future__ import annotations

from typing import Final

import click
from redis import Redis

from config.settings import Settings
from console.admin.records import accounts_with, cancel, known_accounts
from console.asking import demand_yes, is_anybody_there, yes_option
from console.help import examples
from console.output import Problem, complain, counted, say
from console.params import NAME
from console.servers import open_servers, read_settings, the_account

FINISHED: Final = frozenset({"done", "published", "forgotten"})
# What it means to cancel a job in each state of the ledger.
SENTENCES: Final = {
    "": "job {job}: not seen by a worker yet; it will be cancelled when one takes it",
    "claimed": "job {job}: claimed by a worker; it will be cancelled before its next request",
    "sending": "job {job}: being sent now; it will be cancelled if that does not succeed",
    "waiting": "job {job}: waiting; it will be cancelled at its next turn",
}


@click.command(epilog=examples("overture cancel order-1001 order-1002"))
@click.argument("jobs", nargs=-1, type=NAME, required=True, metavar="JOB...")
@click.option(
    "--account", type=NAME, metavar="ID", help="The jobs' account, if there are several accounts."
)
@yes_option
def command(jobs: tuple[str, ...], *, account: str | None, yes: bool) -> int:
    """Cancel jobs before they are sent. JOB is a job's id.

    A cancelled job becomes a dead letter with the code cancelled. A request that was already sent
    is not undone: if an attempt may have opened a conversation and it can be found, the job still
    ends with that conversation.
    """
    settings = read_settings()
    if is_anybody_there():
        demand_yes(f"Cancel {counted(len(jobs), 'job')}?", sure=yes)
    finished = 0
    with open_servers(settings) as servers:
        for job in jobs:
            account_id = _account_of(servers.store, settings, account, job)
            state = cancel(servers.store, account_id, job)
            if state in FINISHED:
                finished += 1
                complain(f"job {job}: already has its outcome; see overture status {job}")
            else:
                say(SENTENCES[state].format(job=job))
    return int(finished > 0)


def _account_of(store: Redis, settings: Settings, named: str | None, job: str) -> str:
    if named is not None:
        return the_account(store, settings, named)
    seen = accounts_with(store, known_accounts(store, settings), job)
    if len(seen) > 1:
        raise Problem(f"accounts {', '.join(seen)} all have a job {job}; name one with --account")
    return seen[0] if seen else the_account(store, settings, None)
