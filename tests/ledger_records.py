"""What the ledger holds of a job of the tests' account, for tests that look at it."""

from __future__ import annotations

from typing import Any

from redis import Redis

from tasks.store.records import look_up
from tests.jobs import ACCOUNT


def recorded_fields(store: Redis, job_id: str) -> dict[str, Any]:
    """Return the fields of a record; none if there is none."""
    return look_up(store, ACCOUNT, job_id) or {}
