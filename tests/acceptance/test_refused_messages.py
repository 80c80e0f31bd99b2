"""What RabbitMQ refuses keeps nothing else from coming out, and is not lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from amqp import Message

from config.names import EXCHANGE_NAME, JOBS_EXCHANGE_NAME, JOBS_QUEUE
from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.rabbit_server import RabbitServer
from tests.simulator_process import SimulatorProcess
from tests.worker_process import WorkerProcess
from worker.broker.brokers import broker_at

pytestmark = [
    pytest.mark.xdist_group("rabbitmq"),
    pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True),
]

# A header frame of RabbitMQ's own size holds 131,064 octets, and what is put off says its type.
NEARLY_A_FRAME = 131_030
# Base64 makes more of it than the 128 MiB that RabbitMQ takes in one message.
TOO_LARGE_BYTES = 105 * 1024 * 1024
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def worker(settings: dict[str, object], simulator: SimulatorProcess) -> Iterator[WorkerProcess]:
    """Run a worker that no limit holds up."""
    ours = {**settings, "domain_api_url": simulator.url, "max_rate": 1000}
    with WorkerProcess(ours) as process:
        yield process


def put(url: str, body: bytes, **properties: Any) -> None:
    """Enqueue a message as py-amqp writes it."""
    with broker_at(url).connection() as connection:
        cast("Any", connection.default_channel).basic_publish(
            Message(body, **properties), JOBS_EXCHANGE_NAME, JOBS_QUEUE
        )


def soon(seconds: float = 3) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def large_headers(url: str, _: RabbitServer) -> None:
    body = json.dumps(job_document(100, notBefore=soon())).encode()
    put(url, body, application_headers={"x": "y" * NEARLY_A_FRAME})


def name_that_is_not_text(url: str, _: RabbitServer) -> None:
    body = json.dumps(job_document(100, notBefore=soon())).encode()
    headers = {b"\xff\xfe": "1", "traceparent": TRACE}
    put(url, body, application_headers=headers)


def no_delays(url: str, _: RabbitServer) -> None:
    with broker_at(url).connection() as connection:
        cast("Any", connection.default_channel).exchange_delete("celery_delayed_27")
    put(url, json.dumps(job_document(100, notBefore=soon())).encode())


def no_exchange(url: str, _: RabbitServer) -> None:
    with broker_at(url).connection() as connection:
        cast("Any", connection.default_channel).exchange_delete(EXCHANGE_NAME)
    put(url, json.dumps(job_document(100)).encode())


@pytest.mark.parametrize("refused", [large_headers, name_that_is_not_text, no_delays, no_exchange])
def test_one_message_that_is_refused_holds_nobody_up(
    worker: WorkerProcess,
    client: BrokerClient,
    rabbit_server: RabbitServer,
    refused: Callable[[str, RabbitServer], None],
) -> None:
    """Frame too large, header names that are no text, exchanges deleted: 100 of 100 come out."""
    refused(client.url, rabbit_server)
    client.put([job_document(number) for number in range(100)])
    out = client.wait_for(101, seconds=30)
    assert (len(out.results), out.dead_letters) == (101, [])
    assert client.waiting() == 0
    assert worker.stop() == 0


def test_a_dead_letter_that_is_too_large_is_cut(
    worker: WorkerProcess, client: BrokerClient
) -> None:
    """Its size and digest tell what is missing; jobs beside it come out meanwhile."""
    client.put_raw([b"\xff" * TOO_LARGE_BYTES])
    client.put([job_document(number) for number in range(99)])
    out = client.wait_until(
        lambda out: len(out.results) == 99 and out.dead_letters, "all outcomes", seconds=90
    )
    (letter,) = out.dead_letters
    assert letter["error"]["code"] == "malformed_message"
    assert letter["rawBytes"] == TOO_LARGE_BYTES
    assert len(letter["rawSha256"]) == 64
    assert len(letter["raw"]) > 1_000_000
    assert client.waiting() == 0
    assert worker.stop() == 0
