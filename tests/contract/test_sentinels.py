"""A master behind Sentinels, as the store and as the broker: found, left and found again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from config.redis_urls import sentinels_of
from tasks.store.connection import StoreError, ask, connect
from tasks.store.replies import classify
from tasks.store.sentinels import finder_of
from tests.redis_server import free_port
from tests.sentinel_servers import MASTER, Sentinel, WatchedServers
from tests.waiting import wait_until
from worker.broker.brokers import broker_at

PASSWORD = "of the data"
OTHER_PASSWORD = "of-the-sentinels"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedServers]:
    """Run a master, a replica and three Sentinels, each kind with a password of its own."""
    folder = tmp_path_factory.mktemp("sentinels")
    with WatchedServers(
        folder, password=PASSWORD.replace(" ", "-"), sentinel_password=OTHER_PASSWORD
    ) as found:
        yield found


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port that takes connections and never answers, as a frozen machine does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_store_is_the_master(watched: WatchedServers) -> None:
    """With the passwords of both kinds of server; replicas are never asked."""
    with connect(watched.url) as store:
        store.set("key", "value")
        assert ask(store, "GET", "key") == b"value"
        pool = store.connection_pool
        connection = pool.get_connection()
        connection.connect()
        assert connection.port == watched.master().port
        pool.release(connection)


@pytest.mark.parametrize("dead", ["refuses", "is silent"])
def test_a_dead_sentinel_costs_a_second_once(
    watched: WatchedServers, silent_port: int, dead: str
) -> None:
    """However many connections and threads ask."""
    port = silent_port if dead == "is silent" else free_port()
    url = watched.url.replace("127.0.0.1:", f"127.0.0.1:{port},127.0.0.1:", 1)
    begun = time.monotonic()
    answers: list[object] = []

    def use() -> None:
        with connect(url) as store:
            answers.append(store.ping())

    threads = [threading.Thread(target=use) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    use()
    assert answers == [True] * 21
    assert time.monotonic() - begun < 2.5


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ((MASTER, "other"), "refused", "watches no master named other"),
        ((OTHER_PASSWORD, "wrong"), "refused", "invalid"),
        ((f"?sentinel_password={OTHER_PASSWORD}", ""), "refused", "sentinel_password"),
    ],
    ids=["name", "password", "no password"],
)
def test_a_wrong_name_or_password_is_told(
    watched: WatchedServers, change: tuple[str, str], kind: str, words: str
) -> None:
    """With the Sentinel that says so."""
    with (
        connect(watched.url.replace(*change)) as store,
        pytest.raises(StoreError, match=words) as caught,
    ):
        store.ping()
    assert classify(caught.value).kind == kind
    assert str(watched.sentinels[0].port) in str(caught.value)


def test_no_sentinel_at_all_is_told_in_a_line() -> None:
    """Each address with its reason."""
    ports = [free_port(), free_port()]
    with (
        connect(f"sentinel://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/m") as store,
        pytest.raises(StoreError, match="no Sentinel answers") as caught,
    ):
        store.ping()
    assert all(f"127.0.0.1:{port}" in str(caught.value) for port in ports)
    assert classify(caught.value).kind == "gone"


def test_a_sentinel_named_as_a_server_is_told(tmp_path: Path) -> None:
    """And how to name it instead."""
    sentinel = Sentinel(tmp_path, [])
    sentinel.start()
    with connect(f"redis://127.0.0.1:{sentinel.port}/0") as store:
        wait_until(lambda: "sentinel://host:26379/mymaster" in _refusal(store), "it is told")
    sentinel.stop()


def _refusal(store: Redis) -> str:
    with pytest.raises(StoreError) as caught:
        store.ping()
    return str(caught.value)


def test_store_and_broker_follow_a_failover(tmp_path: Path) -> None:
    """A message that was confirmed is there, and both go on within seconds."""
    with WatchedServers(tmp_path) as servers:
        broker = broker_at(servers.url)
        with connect(servers.url) as store, broker.connection() as connection:
            broker.declare(connection, ["conversations.jobs"])
            store.set("key", "value")
            assert store.wait(1, 2000) == 1
            servers.kill_master()
            begun = time.monotonic()

            def is_back() -> bool:
                try:
                    return bool(ask(store, "GET", "key") == b"value")
                except StoreError:
                    return False

            wait_until(is_back, "the store is back")
            assert time.monotonic() - begun < 3
        with broker.connection() as later:
            broker.declare(later, ["conversations.jobs"])
            assert broker.ready(later, "conversations.jobs") == 0
        with closing(broker.look("conversations.jobs")) as looked:
            assert list(looked) == []


def test_those_who_ask_together_share_an_answer(watched: WatchedServers) -> None:
    """So that a crowd of connections waits for no silent Sentinel one after another."""
    found = sentinels_of(watched.url)
    assert found is not None
    finder = finder_of(found)
    assert finder is finder_of(found)
    assert finder.discover_master(MASTER)[1] == watched.master().port
