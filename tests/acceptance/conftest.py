"""What most of these tests run on: LivePerson, one account, a producer, and a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.worker_process import WorkerProcess


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """Run LivePerson."""
    with SimulatorProcess("--seed", "1") as process:
        yield process


@pytest.fixture
def settings(broker_url: str, valkey_url: str) -> dict[str, object]:
    """Configure one account on each broker in turn; LivePerson is yet to be named."""
    return {"broker_url": broker_url, "store_url": valkey_url, **ONE_ACCOUNT}


@pytest.fixture
def client(broker_url: str) -> Iterator[BrokerClient]:
    """Give the other side of the broker."""
    with BrokerClient(broker_url) as found:
        yield found


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Valkey that a test may kill or configure."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = RedisServer(folder).start()
    yield server
    server.stop()


@pytest.fixture
def worker(settings: dict[str, object], client: BrokerClient) -> Iterator[WorkerProcess]:
    """Run a worker."""
    del client  # its queues are there first, as with any producer
    with WorkerProcess(settings) as process:
        yield process
