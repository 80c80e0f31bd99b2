"""Taking messages off a queue of what comes out: each is gone only once it is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kombu import Connection, Message, Queue

from worker.messaging import broker
from worker.redis_transport.transport import register, worker_url


class Taker:
    """Takes the messages of one queue, one at a time; what is not acknowledged goes back."""

    def __init__(self, connection: Connection, queue: str) -> None:
        self._connection = connection
        self._queue = Queue(queue, no_declare=True).bind(connection.channel())

    def take(self) -> Message | None:
        """Take the next message into hand; None if there is none to be had now."""
        message: Message | None = self._queue.get(no_ack=False)
        return message

    def ready(self) -> int:
        """Count the messages that nobody has in hand."""
        return broker.ready_messages(self._connection, self._queue.name)


@contextmanager
def taking(broker_url: str, queue: str) -> Iterator[Taker]:
    """Connect to the broker and take; what is still in hand at the end goes back.

    On Redis messages are taken by leases, so that a killed process loses nothing either. Raises
    what the broker raises.
    """
    register()
    connection = Connection(
        worker_url(broker_url),
        connect_timeout=broker.CONNECT_SECONDS,
        transport_options=broker.transport_options(broker_url),
    )
    with connection:
        yield Taker(connection, queue)
