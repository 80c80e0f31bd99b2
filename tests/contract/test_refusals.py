"""What a broker refuses is found alone: everything else is confirmed, and it is once it can be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from kombu import Exchange, Queue
from redis import Redis
from structlog.testing import capture_logs

from config.names import CREATED_KEY, EXCHANGE_NAME, FAILED_KEY, RESULTS_QUEUE
from tasks.messages.outgoing import Outgoing
from tests.broker_client import BrokerClient
from tests.waiting import wait_until
from worker.broker import lane
from worker.broker.brokers import broker_at
from worker.broker.confirms import RefusalKind
from worker.broker.publisher import Publisher
from worker.broker.rabbitmq import frames as amqp_frames
from worker.broker.rabbitmq.producer import RabbitProducer

SECONDS = 20


def message(number: int, key: str = CREATED_KEY) -> Outgoing:
    return Outgoing(
        exchange=EXCHANGE_NAME,
        routing_key=key,
        body=b'{"jobId": "job-%d"}' % number,
        message_id=f"job-{number}",
        type=key,
    )


def unwritable() -> Outgoing:
    return replace(message(-1), headers={"x": object()})


@pytest.fixture
def client(broker_url: str) -> Iterator[BrokerClient]:
    with BrokerClient(broker_url) as found:
        yield found


@pytest.fixture
def publisher(broker_url: str, client: BrokerClient) -> Iterator[Publisher]:
    del client  # its queues are there first
    found = Publisher(broker_at(broker_url))
    yield found
    found.close(seconds=1)


def test_a_producer_says_which_message_was_refused(client: BrokerClient, broker_url: str) -> None:
    """The others of the batch are taken, and their numbers are known."""
    broker = broker_at(broker_url)
    with broker.connection() as connection:
        producer = broker.producer(connection)
        producer.send([message(1), unwritable(), message(2)])
        found: dict[int, Any] = {}
        wait_until(lambda: found.update(producer.take(seconds=1)) or len(found) == 3, "all three")
    assert (found[1], found[3]) == (None, None)
    assert found[2].kind is RefusalKind.UNSENDABLE
    assert [result["jobId"] for result in client.take().results] == ["job-1", "job-2"]


def test_what_cannot_be_written_holds_nobody_up(client: BrokerClient, publisher: Publisher) -> None:
    """It is said once, counted, and tried again in vain, while it is its job's in the broker."""
    confirmed: list[int] = []
    with capture_logs() as lines:
        publisher.send(unwritable(), lambda: confirmed.append(-1))
        for number in range(99):
            publisher.send(message(number), lambda n=number: confirmed.append(n))  # type: ignore[misc] # mypy does not infer defaults
        publisher.start()
        wait_until(lambda: len(confirmed) == 99, "the others are confirmed", seconds=SECONDS)
        wait_until(lambda: publisher.trouble, "it is reported")
    assert [line["event"] for line in lines] == ["publisher.refused"]
    assert "cannot be written" in publisher.trouble
    assert publisher.waiting == 1
    assert len(client.take().results) == 99


@pytest.mark.xdist_group("rabbitmq")
@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_a_message_over_which_rabbitmq_ends_the_connection_is_found(
    client: BrokerClient, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not say over which: each one goes out again alone, and nothing more than that."""
    write = amqp_frames.publish

    def oversized(sent: Outgoing, *, channel: int, frame_max: int) -> bytes:
        too_much = frame_max * 2 if sent.message_id == "job--1" else frame_max
        return write(sent, channel=channel, frame_max=too_much)

    monkeypatch.setattr(amqp_frames, "publish", oversized)
    poison = replace(message(-1), headers={"x": "y" * 150_000})
    confirmed: list[int] = []
    publisher.send(poison, lambda: confirmed.append(-1))
    for number in range(99):
        publisher.send(message(number), lambda n=number: confirmed.append(n))  # type: ignore[misc] # mypy does not infer defaults
    publisher.start()
    wait_until(lambda: len(confirmed) == 99, "the others are confirmed", seconds=SECONDS)
    for number in range(100, 200):
        publisher.send(message(number), lambda n=number: confirmed.append(n))  # type: ignore[misc] # mypy does not infer defaults
    wait_until(lambda: len(confirmed) == 199, "later ones are confirmed", seconds=SECONDS)
    wait_until(lambda: publisher.trouble, "it is reported")
    assert publisher.waiting == 1
    copies = Counter(result["jobId"] for result in client.take().results)
    assert len(copies) == 199
    assert max(copies.values()) <= 2


@pytest.mark.xdist_group("rabbitmq")
@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_a_message_for_an_exchange_that_is_missing_waits_for_it(
    client: BrokerClient, publisher: Publisher, broker_url: str
) -> None:
    """RabbitMQ ends the channel over it, and takes it once somebody has declared the exchange."""
    confirmed: list[int] = []
    missing = replace(message(-1), exchange="conversations.nobody")
    publisher.send(missing, lambda: confirmed.append(-1))
    for number in range(99):
        publisher.send(message(number), lambda n=number: confirmed.append(n))  # type: ignore[misc] # mypy does not infer defaults
    publisher.start()
    wait_until(lambda: len(confirmed) == 99, "the others are confirmed", seconds=SECONDS)
    assert len(client.take().by_job()) == 99
    wait_until(lambda: "conversations.nobody" in publisher.trouble, "it is reported")
    with broker_at(broker_url).connection() as connection:
        queue = Queue("conversations.nobody", Exchange("conversations.nobody", type="topic"), "#")
        queue.bind(connection.default_channel).declare()
        wait_until(lambda: -1 in confirmed, "it is taken", seconds=SECONDS)
        cast("Any", connection.default_channel).queue_delete("conversations.nobody")
        cast("Any", connection.default_channel).exchange_delete("conversations.nobody")
    wait_until(lambda: not publisher.trouble, "nothing is wrong any more")
    assert publisher.waiting == 0


@pytest.mark.parametrize("broker_url", ["valkey"], indirect=True)
def test_a_list_that_redis_refuses_holds_up_no_other(
    client: BrokerClient, publisher: Publisher, store: Redis
) -> None:
    """Something else stands where results belong: dead letters go on, results wait."""
    store.set(RESULTS_QUEUE, "not a list")
    confirmed: list[int] = []
    for number in range(100):
        key = FAILED_KEY if number % 2 else CREATED_KEY
        publisher.send(message(number, key), lambda n=number: confirmed.append(n))  # type: ignore[misc] # mypy does not infer defaults
    with capture_logs() as lines:
        publisher.start()
        wait_until(lambda: len(confirmed) == 50, "the others are confirmed", seconds=SECONDS)
        wait_until(lambda: "WRONGTYPE" in publisher.trouble, "it is reported")
        assert publisher.waiting == 50
        store.delete(RESULTS_QUEUE)
        wait_until(lambda: len(confirmed) == 100, "results are confirmed", seconds=SECONDS)
    assert [line["event"] for line in lines] == ["publisher.refused"]
    out = client.take()
    assert (len(out.results), len(out.dead_letters)) == (50, 50)


@pytest.mark.xdist_group("rabbitmq")
@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_a_broker_that_confirms_nothing_gets_few_copies(
    client: BrokerClient, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it is given twice as long, since it lives and may only be slow."""
    settle, is_slow = RabbitProducer._on_ack, [True]

    def ignore(self: RabbitProducer, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001 - amqp calls it
        if not is_slow[0]:
            settle(self, delivery_tag, multiple)

    monkeypatch.setattr(RabbitProducer, "_on_ack", ignore)
    monkeypatch.setattr(lane, "RESEND_SECONDS", 0.5)
    monkeypatch.setattr(publisher._together, "_resend_seconds", 0.5)
    monkeypatch.setattr(publisher._alone, "_resend_seconds", 0.5)
    confirmed: list[int] = []
    publisher.send(message(1), lambda: confirmed.append(1))
    publisher.start()
    started = time.monotonic()
    wait_until(lambda: len(client.take().results) == 3, "three copies", seconds=SECONDS)
    assert time.monotonic() - started > 1.5
    assert confirmed == []
    is_slow[0] = False
    wait_until(lambda: confirmed == [1], "it is confirmed", seconds=60)
    assert len(client.take().results) <= 4
