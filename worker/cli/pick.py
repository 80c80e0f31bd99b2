"""Which account a command is about, where it is not named."""

from __future__ import annotations

from redis import Redis

from config.settings import Settings
from worker.cli.problem import Problem
from worker.operator.accounts import known_accounts


def the_account(store: Redis, settings: Settings, named: str | None) -> str:
    """Return the account that is named, or else the only one there is."""
    accounts = known_accounts(store, settings)
    if named is not None:
        if settings.accounts and named not in accounts:
            known = ", ".join(accounts)
            raise Problem(f"account {named} is not configured; configured accounts: {known}")
        return named
    if len(accounts) != 1:
        raise Problem(f"there are {len(accounts)} accounts; name one with --account")
    return accounts[0]
