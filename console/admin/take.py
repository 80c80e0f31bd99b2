"""Taking messages off a queue of what comes out: each is gone only once it is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Message

from worker.broker import bounds, broker, compression
from worker.broker.rabbitmq import transport as amqp_transport
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
