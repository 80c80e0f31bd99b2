"""Publishing so that the broker has it: on both brokers, and through what befalls them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from structlog.testing import capture_logs

from config.names import CREATED_KEY, EXCHANGE_NAME, FAILED_KEY, RESULTS_QUEUE
from tasks.messages.outgoing import Outgoing
from tests.broker_client import BrokerClient
from tests.memory_broker import KombuProducer
from tests.rabbit_server import RabbitServer
from tests.redis_server import RedisServer
from tests.tcp_proxy import TCPProxy
from tests.waiting import wait_until
from worker.broker.brokers import broker_at
from worker.broker.confirms import NotConfirmed
from worker.broker.publisher import Publisher
from worker.broker.redis.producer import RedisProducer


def message(number: int, key: str = CREATED_KEY) -> Outgoing:
    return Outgoing(
        exchange=EXCHANGE_NAME,
        routing_key=key,
        body=json.dumps({"jobId": f"job-{number}"}).encode(),
        message_id=f"job-{number}",
        type=key,
    )


@pytest.fixture
def client(broker_url: str) -> Iterator[BrokerClient]:
    with BrokerClient(broker_url) as found:
        yield found


@pytest.fixture
def publisher(broker_url: str) -> Iterator[Publisher]:
    found = Publisher(broker_at(broker_url))
    found.start()
    yield found
    found.close(seconds=10)


def test_a_message_is_plain_json_with_its_identity(client: BrokerClient, broker_url: str) -> None:
    """Any language can consume what comes out: no envelope, message_id and type set."""
    broker = broker_at(broker_url)
    with broker.connection() as connection:
        broker.producer(connection).publish([message(1)])
        found = cast("Any", connection.default_channel).basic_get(RESULTS_QUEUE)
        assert found is not None
        properties = found.properties
        assert (properties["message_id"], properties["type"]) == ("job-1", CREATED_KEY)
        assert found.headers.get("task") is None
        assert properties["delivery_mode"] == 2
    client.wait_until(lambda out: out.results == [{"jobId": "job-1"}], "the result")


def test_every_message_of_a_batch_arrives_in_order(client: BrokerClient, broker_url: str) -> None:
    """Also of one that is longer than any of the transport's own batches."""
    broker = broker_at(broker_url)
    with broker.connection() as connection:
        producer = broker.producer(connection)
        producer.publish([message(number) for number in range(1200)])
        producer.publish([message(number) for number in range(1200, 1300)])
    client.wait_until(lambda out: len(out.results) == 1300, "all results")
    assert [r["jobId"] for r in client.out.results] == [f"job-{n}" for n in range(1300)]


def test_a_batch_is_confirmed_while_the_next_one_is_under_way(
    client: BrokerClient, broker_url: str
) -> None:
    """Who sends several batches may wait for each of them later, and for none twice."""
    broker = broker_at(broker_url)
    with broker.connection() as connection:
        producer = broker.producer(connection)
        tags = [producer.send([message(2 * n), message(2 * n + 1)]) for n in range(3)]
        for number, tag in enumerate(tags):
            producer.wait(tag)
            client.take()
            assert len(client.out.results) >= 2 * number + 2
        producer.wait(tags[-1])


def test_confirmed_means_that_the_broker_has_it(client: BrokerClient, publisher: Publisher) -> None:
    """`confirmed` is called once for each message, after it can be consumed."""
    confirmed: list[int] = []
    for number in range(200):
        key = FAILED_KEY if number % 10 == 0 else CREATED_KEY
        publisher.send(message(number, key), lambda n=number: confirmed.append(n))  # type: ignore[misc] # mypy does not infer defaults
    wait_until(lambda: len(confirmed) >= 200, "all are confirmed", seconds=20)
    client.take()
    assert sorted(confirmed) == list(range(200))
    assert (len(client.out.results), len(client.out.dead_letters)) == (180, 20)
    wait_until(lambda: publisher.waiting == 0, "nothing waits")
    assert publisher.trouble == ""


def test_an_error_in_a_confirmation_costs_no_other(valkey_url: str) -> None:
    """It is a bug, and is logged; what comes after it is published all the same."""
    publisher, done = Publisher(broker_at(valkey_url)), [threading.Event() for _ in range(2)]

    def fails() -> None:
        raise ValueError("broken")

    with BrokerClient(valkey_url), capture_logs() as lines:
        publisher.send(message(0), fails)
        publisher.send(message(1), done[0].set)
        publisher.start()
        assert done[0].wait(10)
        publisher.send(message(2), done[1].set)
        assert done[1].wait(10)
        publisher.close(seconds=10)
    assert [line["event"] for line in lines] == ["publisher.confirmation_not_taken"]


@pytest.mark.xdist_group("rabbitmq")
def test_a_message_that_no_queue_takes_is_refused(rabbit_url: str) -> None:
    """RabbitMQ would drop it in silence: mandatory makes it an error."""
    broker = broker_at(rabbit_url)
    with broker.connection() as connection:
        broker.declare(connection)
        producer = broker.producer(connection)
        with pytest.raises(NotConfirmed, match=r"nobody\.listens"):
            producer.publish([message(1), message(2, "nobody.listens")])


@pytest.mark.xdist_group("rabbitmq")
def test_a_deleted_queue_is_declared_again(rabbit_url: str) -> None:
    """Results go on arriving when somebody deleted their queue."""
    publisher, done = Publisher(broker_at(rabbit_url)), threading.Event()
    publisher.start()
    with BrokerClient(rabbit_url) as client:
        publisher.send(message(1), done.set)
        assert done.wait(20)
        client.take()
        broker = broker_at(rabbit_url)
        with broker.connection() as connection:
            cast("Any", connection.default_channel).queue_delete(RESULTS_QUEUE)
        again = threading.Event()
        publisher.send(message(2), again.set)
        assert again.wait(20)
        client.wait_until(lambda out: len(out.results) == 2, "the second result")
    publisher.close(seconds=5)


def test_a_valkey_that_restarts_gets_every_message(tmp_path: Path) -> None:
    """What was not confirmed before the kill is sent again after it."""
    server = RedisServer(tmp_path).start()
    _survives_a_restart(server)


def test_a_redis_that_falls_silent_holds_outcomes_up_for_seconds_alone(
    valkey_server: RedisServer, valkey_url: str
) -> None:
    """The connections lead nowhere any more, and no error tells of it; a new one is soon made."""
    with BrokerClient(valkey_url) as client, TCPProxy(valkey_server.port) as proxy:
        publisher, confirmed = Publisher(broker_at(proxy.url)), set[int]()
        publisher.start()
        publisher.send(message(1), lambda: confirmed.add(1))
        wait_until(lambda: confirmed == {1}, "the first one is confirmed")
        proxy.silence()
        publisher.send(message(2), lambda: confirmed.add(2))
        wait_until(lambda: confirmed == {1, 2}, "the second one is confirmed", seconds=20)
        publisher.close(seconds=10)
        client.wait_until(lambda out: len(out.by_job()) == 2, "both are there")


@pytest.mark.xdist_group("rabbitmq")
@pytest.mark.usefixtures("rabbit_server")  # one node answers whether there is a RabbitMQ at all
def test_a_rabbitmq_that_restarts_gets_every_message(tmp_path: Path) -> None:
    """What was not confirmed before the kill is sent again after it."""
    _survives_a_restart(RabbitServer(tmp_path).start())


def _survives_a_restart(server: RedisServer | RabbitServer) -> None:
    publisher, confirmed = Publisher(broker_at(server.url)), set[int]()
    with BrokerClient(server.url):
        publisher.start()
    for number in range(300):
        if number == 150:
            wait_until(lambda: len(confirmed) > 50, "some are confirmed")
            server.kill()
        publisher.send(message(number), lambda n=number: confirmed.add(n))  # type: ignore[misc] # mypy does not infer defaults
    server.start()
    wait_until(lambda: len(confirmed) == 300, "all are confirmed", seconds=60)
    publisher.close(seconds=10)
    with BrokerClient(server.url) as client:
        client.wait_until(lambda out: len(out.by_job()) == 300, "all are there")
    server.stop()


def test_redis_is_not_asked_with_every_message_where_it_goes(valkey_url: str, store: Redis) -> None:
    """Kombu would look the exchange's queues up each time."""
    broker = broker_at(valkey_url)
    with broker.connection() as connection:
        broker.declare(connection)
        producer = broker.producer(connection)
        store.config_resetstat()
        producer.publish([message(number) for number in range(100)])
        asked = cast("Any", store.info("commandstats"))["cmdstat_smembers"]["calls"]
        assert asked < 10
    assert store.llen(RESULTS_QUEUE) == 100


@pytest.mark.parametrize("priority", range(10))
def test_redis_holds_what_kombu_would_have_written(
    valkey_url: str, store: Redis, priority: int
) -> None:
    """To any consumer the message is kombu's, and it is in the list of its priority."""
    sent = replace(message(1), priority=priority, headers={"enqueued-at": "2026-03-02T09:00:00Z"})
    written = []
    broker = broker_at(valkey_url)
    with broker.connection() as connection:
        broker.declare(connection)
        for producer in (KombuProducer(connection), RedisProducer(connection)):
            producer.publish([sent])
            (name,) = (key for key in store.scan_iter(f"{RESULTS_QUEUE}*"))
            envelope = json.loads(cast("Any", store.lpop(name)))
            assert len(envelope["properties"].pop("delivery_tag")) == 36
            written.append((name, envelope))
    assert written[0] == written[1]


def test_a_message_for_an_exchange_without_queues_is_not_confirmed(
    valkey_url: str, store: Redis
) -> None:
    """Kombu would drop it in silence, as after the server lost its memory."""
    broker = broker_at(valkey_url)
    with broker.connection() as connection:
        broker.declare(connection)
        producer = broker.producer(connection)
        store.flushdb()
        with pytest.raises(NotConfirmed, match="no queue is bound"):
            producer.publish([message(1)])
    with broker.connection() as connection:
        broker.declare(connection)
        broker.producer(connection).publish([message(1)])
    assert store.llen(RESULTS_QUEUE) == 1
