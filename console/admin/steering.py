"""Changes of a submission by an operator, in all its accounts."""

from __future__ import annotations

from redis import Redis

from config.settings import Settings
from console.admin.records import known_accounts
from console.admin.submissions import (
    ABOUT_SECONDS,
    About,
    read_about,
    take_back_cancellation,
)
from tasks.store.brake import Scope, accounts_of, resume


def all_accounts(store: Redis, settings: Settings) -> list[str]:
    """Return the configured accounts, and those that any worker has worked for.

    Raises StoreError.
    """
    return accounts_of(store, known_accounts(store, settings))


def accounts_of_submission(store: Redis, settings: Settings, about: About | None) -> list[str]:
    """Return all accounts, with those that the submission was sent for. Raises StoreError."""
    return sorted({*all_accounts(store, settings), *(about.accounts if about else ())})


def let_go(store: Redis, settings: Settings, submission_id: str) -> bool:
    """Resume a submission; False if it was neither paused nor cancelled. Raises StoreError."""
    was_paused = resume(store, Scope(submission_id=submission_id), known=settings.accounts)
    accounts = accounts_of_submission(store, settings, read_about(store, submission_id))
    seconds = max(ABOUT_SECONDS, settings.dedupe_seconds)
    was_cancelled = take_back_cancellation(store, accounts, submission_id, seconds=seconds)
    return was_paused or was_cancelled
