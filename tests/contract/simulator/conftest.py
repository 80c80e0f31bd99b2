"""One simulator for all of these tests, begun again before each."""

import uuid
from collections.abc import Iterator

import pytest

from tests.simulator_client import ACCOUNT, CLIENT_ID, CLIENT_SECRET, OTHER_ACCOUNT, Client
from tests.simulator_process import SimulatorProcess


@pytest.fixture(scope="session")
def running() -> Iterator[SimulatorProcess]:
    options = [
        *("--account", f"{ACCOUNT}:{CLIENT_ID}:{CLIENT_SECRET}"),
        *("--account", f"{OTHER_ACCOUNT}:{CLIENT_ID}:{CLIENT_SECRET}:with:colons"),
        *("--campaign", f"{ACCOUNT}:11:22"),
        *("--campaign", f"{OTHER_ACCOUNT}:none"),
        *("--seed", "1"),
    ]
    with SimulatorProcess(*options) as process:
        yield process
        assert process.complaints() == ""


@pytest.fixture
def simulator(running: SimulatorProcess) -> SimulatorProcess:
    running.control("reset")
    return running


@pytest.fixture
def client(simulator: SimulatorProcess) -> Iterator[Client]:
    client = Client(simulator.url)
    yield client
    client.http.close()


@pytest.fixture
def other(simulator: SimulatorProcess) -> Iterator[Client]:
    """Give a client of another account, which has no campaign."""
    client = Client(simulator.url, OTHER_ACCOUNT, f"{CLIENT_SECRET}:with:colons")
    yield client
    client.http.close()


@pytest.fixture
def consumer() -> str:
    return str(uuid.uuid4())
