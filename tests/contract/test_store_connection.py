"""Which servers the store's connections are made to, and what a demoted one may still answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from console.admin.checks import check_store_at
from tasks.store.connection import StoreError, ask, connect
from tasks.store.pulse import Pulse
from tasks.store.replies import classify
from tests.redis_server import RedisServer, cluster_node, free_port
from tests.tcp_proxy import TCPProxy
from tests.waiting import wait_until


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """Run two servers."""
    found = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        found.append(RedisServer(tmp_path / name).start())
    yield found
    for server in found:
        server.stop()


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_no_connection_is_made_to_a_replica(server: RedisServer, protocol: str) -> None:
    """It would answer reads from data that stand still; later its address may lead elsewhere."""
    with server.client() as client, connect(f"{server.url}?protocol={protocol}") as store:
        assert store.ping()
        store.connection_pool.disconnect()
        client.replicaof("127.0.0.1", free_port())
        try:
            with pytest.raises(StoreError, match="is a replica") as caught:
                store.get("key")
            assert classify(caught.value).kind == "gone"
        finally:
            client.replicaof("NO", "ONE")
        assert store.get("key") is None


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_check_reads_both_protocols(server: RedisServer, protocol: str) -> None:
    """The older one answers with a list where the newer one has a map."""
    url = f"{server.url}?protocol={protocol}"
    found = {finding.what: finding.verdict for finding in check_store_at(url)}
    assert found == {"store": "works", "store rights": "works", "durability": "works"}


def test_a_demoted_server_is_not_asked(servers: list[RedisServer]) -> None:
    """Its old connections answer reads as before: all of them are dropped, in use or not."""
    first, second = servers
    with TCPProxy(first.port) as proxy, connect(proxy.url) as store, first.client() as old:
        old.set("key", "stale")
        pool = store.connection_pool
        held = [pool.get_connection() for _ in range(3)]
        for connection in held:
            pool.release(connection)
        assert ask(store, "GET", "key") == b"stale"
        proxy.lead_to(second.port)
        old.replicaof("127.0.0.1", free_port())
        with pytest.raises(StoreError, match="is a replica"):
            ask(store, "GET", "key")
        assert ask(store, "GET", "key") is None
        assert not any(connection.is_connected for connection in held[:-1])


def test_a_pulse_beats_on_after_a_failover(servers: list[RedisServer]) -> None:
    """Within a beat or two; those of other workers are looked up where they are shown."""
    first, second = servers
    with TCPProxy(first.port) as proxy, connect(proxy.url) as store, first.client() as old:
        pulse = Pulse(store)
        pulse.start()
        with second.client() as new:
            new.set("overture:worker:other", 1, px=7000)
            proxy.lead_to(second.port)
            old.replicaof("127.0.0.1", free_port())
            with suppress(StoreError):  # the pulse may have noticed by now, or not
                assert pulse.is_alive("other/1")
            assert pulse.is_alive("other/1")
            shown = f"overture:worker:{pulse.worker}"
            wait_until(lambda: new.exists(shown), "the pulse is shown")
        pulse.stop(seconds=5)


def test_a_cluster_node_is_refused_by_name(tmp_path: Path) -> None:
    """Where it is taken for a server by itself: its keys would lie elsewhere."""
    server = RedisServer(tmp_path, options=cluster_node()).start()
    with connect(server.url) as store:
        with pytest.raises(StoreError, match="node of a cluster") as caught:
            store.ping()
        assert classify(caught.value).kind == "refused"
    server.stop()
