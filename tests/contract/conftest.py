"""Fixtures of the contract tests: each Redis-like server in turn, and a certificate."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.redis_server import REDIS, VALKEY, RedisServer
from tests.stepped_clock import SteppedClock


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


@pytest.fixture(params=["valkey", "redis"])
def stepped_server(
    request: pytest.FixtureRequest, tmp_path: Path, clock: SteppedClock
) -> Iterator[RedisServer]:
    """Give a server of a test's own, whose clock it can set."""
    program = {"valkey": VALKEY, "redis": REDIS}[request.param]
    if program is None:
        pytest.skip("redis-server is not installed here")
    running = RedisServer(tmp_path, program=program, clock=clock).start()
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


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that only these tests trust."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {path}.crt".split(),
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path
