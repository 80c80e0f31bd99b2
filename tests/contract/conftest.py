"""Fixtures of the contract tests: each Redis-like server in turn."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.redis_server import REDIS, VALKEY, RedisServer


@pytest.fixture(scope="package", params=["valkey", "redis"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """Give a Valkey, then a Redis where one is installed."""
    program = {"valkey": VALKEY, "redis": REDIS}[request.param]
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed, and a build must not leave it out")
        pytest.skip("redis-server is not installed here")
    running = RedisServer(tmp_path_factory.mktemp(request.param), program=program).start()
    yield running
    running.stop()


@pytest.fixture
def url(server: RedisServer) -> str:
    """Give an empty server."""
    with server.client() as client:
        client.flushall()
    return server.url


@pytest.fixture
def client(url: str) -> Iterator[Redis]:
    """Give a client of the empty server."""
    with Redis.from_url(url) as connected:
        yield connected
