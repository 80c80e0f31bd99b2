"""What is written before a request leaves is with as many replicas as are asked for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from console.admin.checks import check_store_at
from tasks.store.answers import Go
from tasks.store.connection import Keys, StoreError, connect
from tasks.store.ledger import Ceiling, Ledger
from tasks.store.replies import classify
from tests.jobs import ACCOUNT, make_job
from tests.redis_server import RedisServer
from tests.waiting import wait_until

OWNER = "worker/1"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """Run a primary and its replica."""
    servers = []
    for name in ("primary", "replica"):
        (tmp_path / name).mkdir()
        servers.append(RedisServer(tmp_path / name).start())
    primary, replica = servers
    with replica.client() as client:
        client.replicaof("127.0.0.1", str(primary.port))
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", "it follows")
    yield primary, replica
    for server in servers:
        server.stop()


def ledger(store: Redis, copies: int) -> Ledger:
    return Ledger(
        store,
        dedupe_seconds=60,
        flight_seconds=10,
        max_losses=5,
        repeat_unknown=True,
        copies=copies,
    )


def begin(ledger: Ledger, number: int = 0) -> object:
    return ledger.begin(
        make_job(number),
        OWNER,
        ceiling=Ceiling(rate=1000, in_flight=50),
        purpose="send",
        patience=0,
    )


def test_a_request_waits_for_the_replicas(pair: tuple[RedisServer, RedisServer]) -> None:
    """While one is away nothing is sent; asked again, over whatever connection, it still waits."""
    primary, replica = pair
    with connect(primary.url) as store, replica.client() as copy:
        careful = ledger(store, copies=1)
        assert isinstance(begin(careful), Go)
        assert copy.exists(Keys(ACCOUNT).job(make_job(0).job_id))
        replica.signal(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(StoreError, match="1 more replicas must have it") as caught:
                begin(careful, 1)
            store.connection_pool.disconnect()
            with primary.client() as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal")
        assert classify(caught.value).kind == "not yet"
        assert isinstance(begin(ledger(store, copies=0), 2), Go)
        found = {one.what: one.verdict for one in check_store_at(primary.url, replicas=1)}
        assert found["replicas"] == "fails"
        replica.signal(signal.SIGCONT)
        wait_until(lambda: _goes(careful), "the replica confirms")
        found = {one.what: one.verdict for one in check_store_at(primary.url, replicas=1)}
        assert found["replicas"] == "works"


def _goes(careful: Ledger) -> bool:
    try:
        return isinstance(begin(careful, 1), Go)
    except StoreError:
        return False
