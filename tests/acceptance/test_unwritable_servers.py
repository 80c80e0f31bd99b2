"""A server that answers and takes no write: whoever looks is told why everything waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.jobs import ONE_ACCOUNT
from tests.overture_command import overture
from tests.redis_server import RedisServer, free_port
from tests.simulator_process import SimulatorProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Valkey."""
    found = RedisServer(tmp_path).start()
    yield found
    found.kill()


@pytest.mark.parametrize(
    ("impose", "todo"),
    [
        (lambda admin: admin.config_set("maxmemory", 1), "raise its maxmemory"),
        (
            lambda admin: admin.config_set("min-replicas-to-write", 1),
            "bring its replicas back, or lower min-replicas-to-write or OVERTURE_STORE_REPLICAS",
        ),
        (lambda admin: admin.replicaof("127.0.0.1", free_port()), "try again in a moment"),
    ],
    ids=["out of memory", "no replicas", "demoted"],
)
def test_a_server_that_takes_no_writes_is_named(
    server: RedisServer,
    simulator: SimulatorProcess,
    impose: Callable[[Redis], object],
    todo: str,
) -> None:
    """By `check` and by `status`, and no permission or address is blamed for it."""
    settings = {**ONE_ACCOUNT, "broker_url": server.url, "domain_api_url": simulator.url}
    with server.client() as admin:
        impose(admin)
        checked = overture("check", settings=settings)
        looked = overture("status", settings=settings)
    assert checked.returncode == 1
    failures = [line for line in checked.stdout.splitlines() if line.startswith("✗")]
    assert {line.split(":")[0] for line in failures} >= {"✗ broker", "✗ store"}
    assert all(line.endswith(todo) for line in failures), failures
    assert todo in looked.stderr
