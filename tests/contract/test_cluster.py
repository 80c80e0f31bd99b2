"""A cluster as the store, while an account's keys move from node to node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import pytest
from redis.crc import key_slot

from tasks.store.answers import Go
from tasks.store.connection import Keys, StoreError, connect
from tasks.store.ledger import Ceiling, Ledger
from tasks.store.replies import classify
from tests.cluster_servers import ClusterServers
from tests.jobs import ACCOUNT, make_job

SLOT = key_slot(Keys(ACCOUNT).limit.encode())
# What a call takes on a machine that is busy with other tests.
BUSY_SECONDS = 2.0


class Begun:
    """Jobs that are begun one after another, for as long as a block runs."""

    def __init__(self, url: str) -> None:
        self._store = connect(url)
        self._ledger = Ledger(
            self._store, dedupe_seconds=60, flight_seconds=10, max_losses=5, repeat_unknown=True
        )
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0
        self.longest = 0.0
        self.errors: list[StoreError] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._store.close()

    def _run(self) -> None:
        while not self._is_over.is_set():
            began = time.monotonic()
            while not self._begins():
                time.sleep(0.05)
            self.count += 1
            self.longest = max(self.longest, time.monotonic() - began)

    def _begins(self) -> bool:
        ceiling = Ceiling(rate=100_000, in_flight=100_000)
        try:
            begun = self._ledger.begin(
                make_job(self.count), "worker/1", ceiling=ceiling, purpose="send", patience=0
            )
        except StoreError as error:
            self.errors.append(error)
            return False
        return isinstance(begun, Go)


@pytest.mark.parametrize("how", [ClusterServers.move, ClusterServers.move_at_once])
def test_jobs_go_on_while_their_slot_moves(
    cluster_servers: ClusterServers, cluster_url: str, how: Callable[[ClusterServers, int], None]
) -> None:
    """Key by key they wait for the rest of the keys; with all keys at once nothing is refused."""
    with Begun(cluster_url) as begun:
        for _ in range(2):
            before = begun.count
            while begun.count < before + 50:
                time.sleep(0.01)
            how(cluster_servers, SLOT)
        before = begun.count
        while begun.count < before + 50:
            time.sleep(0.01)
    assert {classify(error).kind for error in begun.errors} <= {"not yet"}
    if how is ClusterServers.move_at_once:
        assert begun.longest < BUSY_SECONDS
