"""`overture limits`: the limits of an account at LivePerson, for the whole pool at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from config.settings import MAX_IN_FLIGHT, MAX_RATE
from console.admin.overview import AccountView, view_account
from console.admin.records import known_accounts
from console.help import Suggesting, examples
from console.listing import as_json, format_option, output_option, write_text
from console.output import printable, say
from console.params import NAME, Number
from console.servers import open_servers, read_settings, the_account
from console.tables import held_by, lesson
from tasks.store.limits import reset_ceiling, set_ceiling

account_option = click.option(
    "--account", type=NAME, metavar="ID", help="The account, if there is more than one."
)


@click.group(cls=Suggesting, epilog=examples("overture limits set --max-rate 5"))
def command() -> None:
    """Show or change the limits of an account at LivePerson."""


@command.command(epilog=examples("overture limits show"))
@format_option("text", "json")
@output_option
def show(*, form: Literal["text", "json"], output: Path | None) -> None:
    """Show the limits in force, and what is holding each account back."""
    settings = read_settings()
    with open_servers(settings) as servers:
        accounts = known_accounts(servers.store, settings)
        found = [view_account(servers.store, settings, account_id) for account_id in accounts]
    if form == "json":
        write_text(as_json([_facts(account) for account in found]), output)
    elif found:
        write_text("\n".join(printable(sentence(account)) for account in found), output)


@command.command(
    "set",
    epilog=examples(
        "overture limits set --max-rate 5 --max-in-flight 20", "overture limits set --reset"
    ),
)
@account_option
@click.option(
    "--max-rate",
    type=Number(min=0, min_open=True, max=MAX_RATE),
    help="Conversations per second.",
)
@click.option("--max-in-flight", type=click.IntRange(1, MAX_IN_FLIGHT), help="Requests in flight.")
@click.option("--reset", is_flag=True, help="Return to the limits in the settings.")
def set_(
    *, account: str | None, max_rate: float | None, max_in_flight: int | None, reset: bool
) -> None:
    """Change the limits for all workers at once, until they are reset."""
    given = max_rate is not None or max_in_flight is not None
    if given == reset:
        raise click.UsageError("give --max-rate or --max-in-flight, or else --reset")
    settings = read_settings()
    with open_servers(settings) as servers:
        account_id = the_account(servers.store, settings, account)
        if reset:
            reset_ceiling(servers.store, account_id)
        set_ceiling(servers.store, account_id, rate=max_rate, in_flight=max_in_flight)
        say(printable(sentence(view_account(servers.store, settings, account_id))))


def _facts(account: AccountView) -> dict[str, Any]:
    standing = account.standing
    return {
        **account.to_dict(),
        "setByOperator": standing.is_set,
        "learnedFromShare": standing.learned_from,
        "nextTryInSeconds": standing.try_in,
        "toleratedShare": standing.tolerated,
    }


def sentence(account: AccountView) -> str:
    """Return a line about what an account may send, and what holds it."""
    standing = account.standing
    rate = "any rate" if account.max_rate is None else f"{account.max_rate:g}/s"
    most = "any number" if account.max_in_flight is None else f"{account.max_in_flight}"
    source = "set by an operator" if standing.is_set else "from the settings"
    learned = lesson(standing)
    return (
        f"account {account.account_id}: at most {rate} and {most} in flight ({source}); now "
        f"{standing.accepted:.3g}/s and {standing.in_flight} in flight; held by {held_by(standing)}"
        f"{f' ({learned})' if learned else ''}"
    )
