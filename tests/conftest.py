"""Fixtures alone: clean surroundings, and the servers that tests talk to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tasks.store.connection import connect
from tests.cluster_servers import ClusterServers
from tests.memory_store import memory_store
from tests.rabbit_server import RabbitServer, rabbitmq_missing
from tests.redis_server import RedisServer
from tests.stepped_clock import SteppedClock, clock_missing

UNIT = Path(__file__).parent / "unit"
ON_RABBITMQ = pytest.param("rabbitmq", marks=pytest.mark.xdist_group("rabbitmq"))


# A shell has what it starts in the background ignore Ctrl-C, and children take that over.
signal.signal(signal.SIGINT, signal.default_int_handler)


def is_way(name: str) -> bool:
    """Tell whether a variable says how others are reached, or who is trusted."""
    return name.upper().endswith("_PROXY") or name in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count every unit test among the fast ones, before these are picked out."""
    for item in items:
        if UNIT in item.path.parents:
            item.add_marker("fast")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep a developer's own settings, and an overture.toml lying about, out of every test."""
    for name in [name for name in os.environ if name.startswith("OVERTURE_") or is_way(name)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Start one private Valkey for the tests of this process."""
    server = RedisServer(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture
def valkey_url(valkey_server: RedisServer) -> str:
    """Give an empty Valkey."""
    with valkey_server.client() as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture(scope="session")
def cluster_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    """Start a private cluster for the tests of this process."""
    with ClusterServers(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def cluster_url(cluster_servers: ClusterServers) -> str:
    """Give an empty cluster of three nodes."""
    cluster_servers.flush()
    return cluster_servers.url


@pytest.fixture
def clock(tmp_path: Path) -> SteppedClock:
    """Give the clock of a server, where one can be set."""
    if reason := clock_missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and a build must not leave these tests out")
        pytest.skip(reason)
    return SteppedClock(tmp_path)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """Give a client of an empty Valkey, of a cluster, or of the store in memory."""
    kind = getattr(request, "param", "valkey")
    if kind == "memory":
        with memory_store() as client:
            yield client
        return
    if kind == "cluster":
        with connect(request.getfixturevalue("cluster_url")) as client:
            yield client
        return
    with Redis.from_url(request.getfixturevalue("valkey_url")) as client:
        yield client


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """Start one private RabbitMQ, where its server is installed."""
    if reason := rabbitmq_missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and a build must not leave these tests out")
        pytest.skip(reason)
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq")).start()
    yield server
    server.stop()


@pytest.fixture
def rabbit_url(rabbit_server: RabbitServer) -> str:
    """Give a RabbitMQ whose queues are empty."""
    rabbit_server.empty()
    return rabbit_server.url


@pytest.fixture(params=["valkey", ON_RABBITMQ])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Give each broker in turn, empty."""
    name = {"valkey": "valkey_url", "rabbitmq": "rabbit_url"}[request.param]
    return str(request.getfixturevalue(name))
