"""Which accounts there are, as the store knows them."""

from __future__ import annotations

from redis import Redis

from config.settings import Settings
from console.admin.records import known_accounts
from tasks.store.brake import Brake
from tasks.store.connection import Keys
from tests.memory_store import ON_EITHER_STORE

pytestmark = ON_EITHER_STORE


def test_accounts_are_known_by_those_who_have_worked_for_them(store: Redis) -> None:
    """Where none is configured; whatever the ids of their jobs look like."""
    for accounts in (["1"], ["a-b_c", "1"]):
        Brake(store, accounts).look()
    store.hset(Keys("1").old_job("x}:counts"), "state", "done")
    store.set(Keys("1").job("x}:counts"), "{}")
    store.hset(Keys("2").limit, "max_rate", 1)
    assert known_accounts(store, Settings()) == ["1", "a-b_c"]
