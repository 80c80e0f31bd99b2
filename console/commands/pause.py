"""`overture pause`: the emergency brake."""

from __future__ import annotations

import click

from console.admin.overview import view_account
from console.help import examples
from console.operator import operator
from console.output import counted, printable, say
from console.params import NAME
from console.servers import demand_account, open_servers, read_settings
from tasks.store.brake import Scope, accounts_of, pause


@click.command(epilog=examples("overture pause", "overture pause --submission spring-campaign"))
@click.option("--account", type=NAME, metavar="ID", help="Pause this account only.")
@click.option(
    "--submission", type=NAME, metavar="ID", help="Pause the jobs of this submission only."
)
def command(*, account: str | None, submission: str | None) -> None:
    """Stop sending, in all workers at once: everything, an account or a submission.

    From the next request on nothing is sent for what is paused. Its jobs wait, without using up
    attempts; those that expire still expire. It stays paused until `overture resume` is given with
    the same options, whatever is restarted meanwhile.
    """
    settings = read_settings()
    if account is not None:
        demand_account(settings, account)
    with open_servers(settings) as servers:
        store = servers.store
        scope = Scope(account, submission)
        found = pause(store, scope, known=settings.accounts, by=operator())
        say(printable(f"{found.sentence(account)}: nothing more is sent"))
        accounts = accounts_of(store, settings.accounts) if account is None else [account]
        in_flight = sum(view_account(store, settings, one).standing.in_flight for one in accounts)
    if in_flight and submission is None:
        verb = "comes" if in_flight == 1 else "come"
        say(f"{counted(in_flight, 'request')} in flight {verb} to an end")
