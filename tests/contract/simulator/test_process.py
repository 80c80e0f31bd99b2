"""The simulator as a process: how it starts, what it keeps, how it ends."""

import signal
import time

import pytest
import requests

from tests.simulator_client import Client
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until


def test_it_stops_when_told() -> None:
    """SIGTERM ends it with status 0, calls in flight or not."""
    with SimulatorProcess("--latency", "60000") as process:
        with pytest.raises(requests.ReadTimeout):
            Client(process.url).call("GET", "/nowhere", timeout=0.1)
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)

        assert process.process.wait(5) == 0
        assert time.monotonic() - began < 2


def test_a_taken_port_is_one_sentence(simulator: SimulatorProcess) -> None:
    """No traceback."""
    with pytest.raises(RuntimeError, match=r"Error: cannot listen on 127\.0\.0\.1") as failed:
        SimulatorProcess(port=simulator.port).__enter__()

    assert "Traceback" not in str(failed.value)


def test_any_account_can_be_accepted() -> None:
    """With --any-account credentials and app installation are not looked at."""
    with SimulatorProcess("--any-account") as process:
        client = Client(process.url, "le-1", "whatever")
        client.open("c")

        assert client.engage({"consumerId": "c"}, app_id="x").status_code == 201
        assert process.stats()["accounts"].keys() == {"le-1"}


def test_a_scenario_gives_the_defaults() -> None:
    """Options on the command line win over it; faults are put together."""
    options = ["--scenario", "chaos", "--rate", "3", "--fault", "reset=0.5"]
    with SimulatorProcess(*options) as process:
        limits = process.control("limits")
        probabilities = process.control("faults")["probabilities"]

    assert (limits["rate"], limits["maxConcurrent"], limits["latency"]) == (3, 50, 60)
    assert (probabilities["reset"], probabilities["lost_answer"]) == (0.5, 0.03)


def test_bodies_need_not_be_kept() -> None:
    """With --no-bodies conversations are listed without what was asked."""
    with SimulatorProcess("--no-bodies") as process:
        Client(process.url).open("c")
        kept = process.conversations()[0]

    assert (kept["body"], kept["profile"], kept["messages"]) == (None, None, [])


def test_tokens_outlive_a_restart() -> None:
    """A client that keeps its tokens can go on with another simulator."""
    with SimulatorProcess() as process:
        headers = Client(process.url).tokens("c")
    with SimulatorProcess() as process:
        assert Client(process.url).create(headers).status_code == 200


def test_a_token_expires() -> None:
    """A lifetime of a second is over after a second."""
    with SimulatorProcess("--token-lifetime", "1") as process:
        client = Client(process.url)
        app_jwt = client.app_jwt()
        wait_until(lambda: client.identify("c", app_jwt).status_code == 401, "the token ends")
