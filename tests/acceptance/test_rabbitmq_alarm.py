"""RabbitMQ with an alarm, or with a queue that is full: what can go on goes on, once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from config.names import RESULTS_QUEUE
from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.overture_command import overture
from tests.rabbit_server import RabbitServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

pytestmark = [
    pytest.mark.xdist_group("rabbitmq"),
    pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True),
]

# Longer than any confirm used to be waited for.
ALARM_SECONDS = 20.0
# What an operator who was woken waits for at most.
CHECK_SECONDS = 10.0
JOBS = 150


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    return {**settings, "domain_api_url": simulator.url, "max_rate": 1000}


@pytest.fixture
def worker(settings: dict[str, object], client: BrokerClient) -> Iterator[WorkerProcess]:
    """Run a worker that no limit holds up."""
    del client  # its queues are there first
    with WorkerProcess(settings) as process:
        yield process


@pytest.fixture
def unhurried(settings: dict[str, object], client: BrokerClient) -> Iterator[WorkerProcess]:
    """Run a worker that needs half a minute for all the jobs."""
    del client  # its queues are there first
    with WorkerProcess({**settings, "max_rate": JOBS / 30}) as process:
        yield process


@pytest.fixture
def blockable(rabbit_server: RabbitServer) -> Iterator[RabbitServer]:
    """Give the server, whose alarm ends with the test."""
    yield rabbit_server
    rabbit_server.control("set_vm_memory_high_watermark", "0.4")


def connections(server: RabbitServer) -> set[str]:
    """Return the connections that RabbitMQ knows, by their processes."""
    return set(server.control("list_connections", "pid").split()[1:])


def test_an_alarm_is_waited_for_and_named(
    blockable: RabbitServer,
    client: BrokerClient,
    unhurried: WorkerProcess,
    settings: dict[str, object],
) -> None:
    """No outcome is sent twice, no connection is left behind, and every command says what it is."""
    worker = unhurried
    # A connection hears of an alarm when it publishes, so there must be outcomes to publish for
    # as long as the alarm may take to come: half a minute of them.
    client.put([job_document(number) for number in range(JOBS)])
    client.wait_for(1)
    blockable.control("set_vm_memory_high_watermark", "0.00001")
    wait_until(lambda: worker.events("publisher.blocked"), "the worker hears of it", seconds=30)
    before, deadline = connections(blockable), time.monotonic() + ALARM_SECONDS
    assert worker.events("publisher.blocked")[0]["reason"] == "memory alarm"
    seen: set[str] = set()
    while time.monotonic() < deadline:
        # The watchdog connects for a moment now and then; what is there twice in a row stays.
        now = connections(blockable)
        assert not (now & seen) - before
        seen = now
        time.sleep(1)
    started = time.monotonic()
    assert "memory alarm" in overture("check", settings=settings).stdout
    assert time.monotonic() - started < CHECK_SECONDS
    for command in (("status",), ("submit", "-")):
        done = overture(*command, settings=settings, stdin=b'{"jobId": "s", "consumerId": "s"}\n')
        assert "memory alarm" in done.stdout + done.stderr
    blockable.control("set_vm_memory_high_watermark", "0.4")
    out = client.wait_for(JOBS, seconds=60)
    wait_until(lambda: len(connections(blockable)) <= len(before), "the commands' connections end")
    assert len(worker.events("publisher.blocked")) == 1
    assert worker.events("publisher.retry") == []
    assert max(Counter(result["jobId"] for result in out.results).values()) == 1
    assert worker.stop() == 0
    assert out.dead_letters == []


def test_a_full_results_queue_holds_up_results_alone(
    rabbit_server: RabbitServer,
    client: BrokerClient,
    worker: WorkerProcess,
    settings: dict[str, object],
) -> None:
    """Dead letters and put-off jobs go on; each result comes out once there is room."""
    rabbit_server.control(
        "set_policy",
        "full",
        f"^{RESULTS_QUEUE}$",
        '{"max-length": 2, "overflow": "reject-publish"}',
    )
    try:
        client.put([job_document(number) for number in range(4)])
        wait_until(lambda: client.waiting(RESULTS_QUEUE) >= 3, "it is full")
        client.put([job_document(number) for number in range(4, 10)])
        wait_until(lambda: worker.events("publisher.refused"), "results are refused", seconds=30)
        client.put_raw([b"no job"] * 3)
        wait_until(lambda: client.waiting("conversations.dead-letters") == 3, "the dead letters")
        assert client.waiting(RESULTS_QUEUE) < 10
        wait_until(
            lambda: "the broker refuses" in overture("status", settings=settings).stdout,
            "status names it",
        )
    finally:
        rabbit_server.control("clear_policy", "full")
    out = client.wait_for(10, seconds=60)
    assert len(out.dead_letters) == 3
    assert len(worker.events("publisher.refused")) == 1
    assert worker.stop() == 0
