"""RabbitMQ ends a channel, or a consumer, on a sound connection: the worker goes on in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from kombu import Connection

from config.names import JOBS_QUEUE
from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.rabbit_server import RabbitServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

pytestmark = pytest.mark.xdist_group("rabbitmq-lost-channels")

# A consumer that keeps a message for longer loses its channel (406); looked at every second, in ms.
KEPT_MS = 3_000
LOOK_MS = 1_000
# LivePerson takes longer than that, in ms.
LATENCY_MS = 6_000
# So soon others are done meanwhile, on a machine that is busy: the watchdog would take a minute.
SOON_SECONDS = 25.0


@pytest.fixture
def impatient(rabbit_server: RabbitServer, tmp_path: Path) -> Iterator[RabbitServer]:
    """Give a RabbitMQ that has little patience with its consumers."""
    del rabbit_server  # it says where there is none
    options = f"-rabbit consumer_timeout {KEPT_MS} -rabbit channel_tick_interval {LOOK_MS}"
    server = RabbitServer(tmp_path, options=options).start()
    yield server
    server.stop()


def settings_of(server: RabbitServer, store: str, simulator: SimulatorProcess) -> dict[str, object]:
    return {
        "broker_url": server.url,
        "store_url": store,
        **ONE_ACCOUNT,
        "domain_api_url": simulator.url,
        "trusted_hosts": "127.0.0.1",
        "max_rate": 1000,
    }


def test_a_channel_that_the_broker_closes_is_opened_anew(
    impatient: RabbitServer, valkey_url: str, simulator: SimulatorProcess
) -> None:
    """The jobs in hand go on; what comes meanwhile is done at once, and nothing twice."""
    settings = settings_of(impatient, valkey_url, simulator)
    with BrokerClient(impatient.url) as client, WorkerProcess(settings, concurrency=4) as worker:
        client.put([job_document(0)])
        client.wait_for(1)
        simulator.control("limits", {"latency": LATENCY_MS})
        client.put([job_document(number) for number in (1, 2)])
        wait_until(lambda: worker.events("broker.away"), "the channel is closed", seconds=60)
        simulator.control("limits", {"latency": 0})
        client.put([job_document(number) for number in range(3, 12)])
        out = client.wait_for(12, seconds=SOON_SECONDS)
        assert worker.stop() == 0
        assert worker.events("worker.stalled") == []
        assert worker.events("broker.refused") == []
    assert (len(out.by_job()), out.dead_letters) == (12, [])
    assert len(simulator.conversations()) == 12


def test_a_queue_that_is_deleted_is_declared_anew(
    rabbit_url: str, rabbit_server: RabbitServer, valkey_url: str, simulator: SimulatorProcess
) -> None:
    """RabbitMQ then cancels its consumers, and says so."""
    settings = settings_of(rabbit_server, valkey_url, simulator)
    with WorkerProcess(settings) as worker:
        with BrokerClient(rabbit_url) as client:
            client.put([job_document(1)])
            client.wait_for(1)
        with Connection(rabbit_url) as connection:
            channel: Any = cast("Any", connection.channel())
            channel.queue_delete(JOBS_QUEUE)
        wait_until(lambda: worker.events("broker.away"), "the worker hears of it", seconds=30)
        with BrokerClient(rabbit_url) as client:
            client.put([job_document(number) for number in range(2, 12)])
            out = client.wait_for(10, seconds=SOON_SECONDS)
        assert worker.stop() == 0
    assert (len(out.by_job()), out.dead_letters) == (10, [])
