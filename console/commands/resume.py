"""`overture resume`: releases the emergency brake."""

from __future__ import annotations

import click

from console.help import examples
from console.output import printable, say
from console.params import NAME
from console.servers import demand_account, open_servers, read_settings
from tasks.store.brake import EVERYTHING, Pause, Scope, accounts_of, pauses, resume


@click.command(epilog=examples("overture resume", "overture resume --submission spring-campaign"))
@click.option("--account", type=NAME, metavar="ID", help="Resume this account.")
@click.option("--submission", type=NAME, metavar="ID", help="Resume the jobs of this submission.")
def command(*, account: str | None, submission: str | None) -> None:
    """Let what was paused with the same options go on.

    Each pause is lifted by itself: an account or a submission that was paused on its own stays so
    when everything else goes on, and this command says so.
    """
    settings = read_settings()
    if account is not None:
        demand_account(settings, account)
    with open_servers(settings) as servers:
        store = servers.store
        was_paused = resume(store, Scope(account, submission), known=settings.accounts)
        accounts = accounts_of(store, settings.accounts) if account is None else [account]
        left = {
            one.sentence(account_id): _lifts(one, account_id)
            for account_id in accounts
            for one in pauses(store, account_id)
        }
    what = _what(account, submission)
    say(printable(f"{what} goes on" if was_paused else f"{what} was not paused"))
    for sentence, lifts in left.items():
        say(printable(f"{sentence} still: {lifts}"))


def _what(account: str | None, submission: str | None) -> str:
    if submission is not None:
        return f"submission {submission}"
    return "everything" if account is None else f"account {account}"


def _lifts(pause: Pause, account_id: str) -> str:
    """Return the command that resumes a pause."""
    if pause.submission_id is not None:
        return f"overture resume --submission {pause.submission_id}"
    return (
        "overture resume" if pause.what == EVERYTHING else f"overture resume --account {account_id}"
    )
