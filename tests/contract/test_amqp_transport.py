"""The AMQP transport on a real RabbitMQ: py-amqp and kombu still go through it, and it saves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Consumer, Message
from kombu.asynchronous import Hub

from config.names import JOBS_EXCHANGE_NAME, JOBS_QUEUE
from tasks.messages.outgoing import Outgoing
from worker.broker.brokers import broker_at
from worker.broker.rabbitmq.producer import RabbitProducer
from worker.broker.rabbitmq.transport import BufferedTransport
from worker.broker.topology import jobs_queue

pytestmark = pytest.mark.xdist_group("rabbitmq")
COUNT = 200


class CountingSocket:
    """A socket that counts the calls to the system."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.reads = self.writes = 0

    def recv(self, *how: int) -> Any:
        self.reads += 1
        return self._sock.recv(*how)

    def sendall(self, data: Any) -> None:
        self.writes += 1
        self._sock.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@pytest.fixture
def connection(rabbit_url: str) -> Iterator[Connection]:
    """Give a connection through the transport, with a jobs queue."""
    broker = broker_at(rabbit_url)
    with broker.connection() as connection:
        broker.declare(connection, [JOBS_QUEUE])
        yield connection


def counting(connection: Connection) -> CountingSocket:
    transport: Any = connection.connection.transport
    assert BufferedTransport in type(transport).__mro__
    transport.sock = sock = CountingSocket(transport.sock)
    transport._write = sock.sendall
    return sock


def outgoing(count: int) -> list[Outgoing]:
    return [
        Outgoing(
            exchange=JOBS_EXCHANGE_NAME,
            routing_key=JOBS_QUEUE,
            body=b"%d" % number + b"x" * 1000,
            message_id=str(number),
        )
        for number in range(count)
    ]


def publish(connection: Connection, count: int = COUNT) -> None:
    RabbitProducer(connection).publish(outgoing(count))


def test_a_batch_leaves_in_few_writes(connection: Connection) -> None:
    """Two hundred kilobytes in pieces of sixty-four."""
    sock = counting(connection)
    publish(connection)
    assert sock.writes < 10


def test_nothing_is_read_for_each_message_of_a_batch(connection: Connection) -> None:
    """py-amqp would look before each one whether the broker has said anything."""
    producer = RabbitProducer(connection)
    sock = counting(connection)
    tag = producer.send(outgoing(COUNT))
    assert sock.reads == 0
    producer.wait(tag)
    assert 1 <= sock.reads <= COUNT + 1


def test_the_event_loop_reads_many_messages_at_a_time(connection: Connection) -> None:
    """All of them, in order, and acknowledged in one frame."""
    publish(connection)
    hub: Any = Hub()
    seen: list[Message] = []
    hub.propagate_errors = (Exception,)
    sock = counting(connection)
    channel: Any = connection.channel()
    queue = jobs_queue()(channel)
    with Consumer(channel, [queue], on_message=seen.append, auto_declare=False):
        connection.transport.register_with_event_loop(connection.connection, hub)
        loop = hub.create_loop()
        while len(seen) < COUNT:
            next(loop)
        assert sock.reads < COUNT
        ids = [message.properties["message_id"] for message in seen]
        assert ids == [str(number) for number in range(COUNT)]
        seen[-1].ack(multiple=True)
    hub.close()
    with broker_at(connection.as_uri(include_password=True)).connection() as another:
        other: Any = another.channel()
        assert other.queue_declare(JOBS_QUEUE, passive=True).message_count == 0
