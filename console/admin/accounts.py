"""Which accounts and workers there are, and where a job's record is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from redis import Redis

from config.settings import Settings
from tasks.store.connection import Keys, account_of, text
from tasks.store.pulse import WORKER_PREFIX

# How many keys one step of a search through the whole store looks at.
SCAN_KEYS: Final = 5000


def known_accounts(store: Redis, settings: Settings) -> list[str]:
    """Return the configured accounts; where there are none, those that jobs were done for.

    Raises StoreError.
    """
    if settings.accounts:
        return sorted(settings.accounts)
    return sorted(set(map(account_of, _names(store, Keys("*").counts))))


def workers_alive(store: Redis) -> list[str]:
    """Return the workers that have shown themselves lately. Raises StoreError."""
    names = _names(store, f"{WORKER_PREFIX}*")
    return sorted({name.removeprefix(WORKER_PREFIX) for name in names})


def troubles(store: Redis, workers: Sequence[str]) -> dict[str, str]:
    """Return what keeps those workers that something keeps, in their words. Raises StoreError."""
    said = {worker: text(store.get(f"{WORKER_PREFIX}{worker}")) for worker in workers}
    return {worker: words for worker, words in said.items() if words}


def accounts_with(store: Redis, accounts: Iterable[str], job_id: str) -> list[str]:
    """Return the accounts whose ledger has a record of a job. Raises StoreError."""
    return [one for one in accounts if store.exists(Keys(one).job(job_id))]


def _names(store: Redis, pattern: str) -> Iterable[str]:
    return map(text, store.scan_iter(match=pattern, count=SCAN_KEYS))
