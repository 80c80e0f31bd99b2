"""Taking messages off a queue of what comes out: each is gone only once it is acknowledged."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from kombu import Connection, Message
from redis import Redis

from config.urls import is_redis
from tasks.messages.intake import Received
from tasks.store.connection import connect
from worker.broker import bounds, broker, compression
from worker.broker.inbound import received
from worker.broker.rabbitmq import transport as amqp_transport
from worker.broker.redis.envelope import read_envelope
from worker.broker.redis.layout import Layout, unwrapped
from worker.broker.redis.transport import register, worker_url


class Taker:
    """Takes the messages of one queue, one at a time; what is not acknowledged goes back."""

    def __init__(self, connection: Connection, queue: str) -> None:
        self._connection = connection
        # kombu's types leave out what its channels can do, and its Queue raises for a message that
        # cannot be unpacked.
        self._channel: Any = connection.channel()
        self._queue = queue

    def take(self) -> Message | None:
        """Take the next message into hand, whatever it is; None if there is none to be had now."""
        found = self._channel.basic_get(self._queue, no_ack=False)
        # Redis answers with kombu's message, RabbitMQ with amqp's own.
        if found is None or isinstance(found, Message):
            return found
        message: Message = self._channel.message_to_python(found)
        return message

    def ready(self) -> int:
        """Count the messages that nobody has in hand."""
        return broker.ready_messages(self._connection, self._queue)


@contextmanager
def taking(broker_url: str, queue: str) -> Iterator[Taker]:
    """Connect to the broker and take; what is still in hand at the end goes back.

    On Redis messages are taken by leases, so that a killed process loses nothing either. Raises
    what the broker raises.
    """
    register()
    amqp_transport.register()
    compression.bound(bounds.COMMAND_BYTES)
    connection = Connection(
        amqp_transport.own_url(worker_url(broker_url)),
        connect_timeout=broker.CONNECT_SECONDS,
        transport_options=broker.transport_options(broker_url),
    )
    with connection:
        yield Taker(connection, queue)


# How many messages are read from Redis at a time: so many, or fewer where they are large.
PAGE_MESSAGES: Final = 200
PAGE_BYTES: Final = 16 * 1024 * 1024


def look(broker_url: str, queue: str, *, limit: int | None = None) -> Generator[Received]:
    """Yield the messages of a queue in the order in which they would be taken now.

    Close the iterator when done with it. On Redis nothing is touched. AMQP knows no way to look:
    there the messages are in hand for as long as it takes, and then go back to the front, which a
    quorum queue does in an order of its own. Raises what the broker raises.
    """
    if is_redis(broker_url):
        client = connect(broker_url, connections=1)
        try:
            yield from islice(_browse(client, queue), limit)
        finally:
            client.close()
        return
    with taking(broker_url, queue) as taker:
        yield from islice(_borrow(taker), limit)


def _browse(client: Redis, queue: str) -> Iterator[Received]:
    compression.bound(bounds.COMMAND_BYTES)
    layout = Layout()
    for step in layout.steps:
        name = layout.list_of(queue, step)
        last, most = -1, 1
        while page := _page(client, name, last, most):
            for payload in reversed(page):
                yield _seen(payload)
            last -= len(page)
            mean = sum(map(len, page)) // len(page)
            most = min(2 * most, PAGE_MESSAGES, max(1, PAGE_BYTES // max(1, mean)))


def _page(client: Redis, name: str, last: int, most: int) -> list[bytes]:
    page: Any = client.lrange(name, last - most + 1, last)
    return list(page)


def _seen(payload: bytes) -> Received:
    message = read_envelope(unwrapped(payload), lease="", queue="", deliveries=0)
    return received(
        Message(
            body=message["body"],
            content_type=message["content-type"],
            content_encoding=message["content-encoding"],
            headers=message["headers"],
            properties=message["properties"],
        )
    )


def _borrow(taker: Taker) -> Iterator[Received]:
    for message in iter(taker.take, None):
        yield received(message)
