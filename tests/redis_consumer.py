"""A consumer on the Redis transport inside a test, and an ordinary producer for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, cast

from kombu import Connection, Consumer, Message

from config.names import JOBS_QUEUE
from worker.broker.redis.transport import register, worker_url
from worker.broker.topology import JOBS_EXCHANGE, jobs_queue


class RedisConsumer:
    """Consumes from jobs queues as a worker does, but one step at a time."""

    def __init__(
        self,
        url: str,
        *,
        prefetch: int = 10,
        queues: Sequence[str] = (JOBS_QUEUE,),
        on_ours: bool = True,
        **options: Any,
    ) -> None:
        register()
        self.connection = Connection(worker_url(url) if on_ours else url, transport_options=options)
        # Any, because kombu's types leave half of a channel out.
        self.channel = cast("Any", self.connection.channel())
        self.channel.basic_qos(0, prefetch, apply_global=False)
        self._messages: list[Message] = []
        self._consumer = Consumer(
            self.channel,
            [jobs_queue(name) for name in queues],
            on_message=self._messages.append,
            accept=["json"],
        )
        self._consumer.consume()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.connection.close()

    def receive(self, count: int, *, seconds: float = 5.0) -> list[Message]:
        """Return so many messages, or those that came within the time."""
        deadline = time.monotonic() + seconds
        while len(self._messages) < count and (left := deadline - time.monotonic()) > 0:
            try:
                self.connection.drain_events(timeout=left)
            except TimeoutError:
                break
        messages, self._messages[:] = self._messages[:count], self._messages[count:]
        return messages

    def on_message(self, handler: Callable[[Message], None]) -> None:
        """Have messages handled otherwise than by keeping them."""
        self._consumer.on_message = handler

    def cut(self) -> None:
        """Break the connection and drop it, as Celery does when it finds it broken."""
        self.channel.client.connection._sock.shutdown(socket.SHUT_RDWR)
        self.connection.collect(socket_timeout=1)


def publish(url: str, bodies: Iterable[Any], *, queue: str = JOBS_QUEUE, priority: int = 0) -> None:
    """Enqueue through kombu's own transport."""
    with Connection(url) as connection, connection.Producer() as producer:
        for body in bodies:
            producer.publish(
                body,
                exchange=JOBS_EXCHANGE,
                routing_key=queue,
                priority=priority,
                serializer="json",
                declare=[jobs_queue(queue)],
            )


def bodies(messages: Iterable[Message]) -> list[Any]:
    """Return what the messages say."""
    return [message.payload for message in messages]
