"""Which account a command is about, where it is not named."""

from __future__ import annotations

from redis import Redis

from config.names import JOBS_QUEUE
from config.settings import Settings
from console.admin.accounts import known_accounts
from console.problem import Problem


def demand_account(settings: Settings, named: str) -> None:
    """Refuse an account that is not configured; where none is, any will do. Raises Problem."""
    if settings.accounts and named not in settings.accounts:
        known = ", ".join(sorted(settings.accounts))
        raise Problem(f"account {named} is not configured; configured accounts: {known}")


def demand_queue(settings: Settings, queue: str) -> None:
    """Refuse the jobs queue of an account that is not configured. Raises Problem."""
    if queue != JOBS_QUEUE:
        demand_account(settings, queue.removeprefix(f"{JOBS_QUEUE}."))


def the_account(store: Redis, settings: Settings, named: str | None) -> str:
    """Return the account that is named, or else the only one there is."""
    if named is not None:
        demand_account(settings, named)
        return named
    accounts = known_accounts(store, settings)
    if len(accounts) != 1:
        raise Problem(f"there are {len(accounts)} accounts; name one with --account")
    return accounts[0]
