"""Publishing many messages at once, and knowing that the broker has every one of them."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from kombu import Connection, Producer

from worker.messaging.outgoing import Outgoing

CONFIRM_SECONDS: Final = 15.0
PERSISTENT: Final = 2
REDIS_BATCH: Final = 500
# How long the queues that an exchange on Redis leads to are taken as known, in seconds.
BINDINGS_SECONDS: Final = 1.0


class NotConfirmed(Exception):
    """The broker refused or returned a message, or did not confirm it in time."""


class ConfirmedProducer:
    """Publishes batches over one connection; after an error the connection is to be thrown away.

    On RabbitMQ a batch goes out as a whole and its confirms are awaited together, at once or when
    the next batch is on its way; a message that no queue takes counts as refused. Redis answers
    each write by itself.
    """

    def __init__(self, broker: Connection) -> None:
        self._broker = broker
        # kombu's types know neither amqp's events nor its own batches.
        self._channel = cast("Any", broker.channel())
        self._connection = cast("Any", broker.connection)
        self._producer = cast("Any", Producer(self._channel, auto_declare=False))
        self._confirms = broker.transport.driver_type == "amqp"
        self._last_tag = 0
        # In the order they were sent.
        self._outstanding: dict[int, None] = {}
        self._refusals: list[str] = []
        if self._confirms:
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)
            self._channel.confirm_select()
        elif broker.transport.driver_type == "redis":
            self._channel.get_table = _Bindings(self._channel.get_table)

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish the messages, persistent, and return once the broker has all of them.

        Raises NotConfirmed, or the connection's own errors; the broker may then have some of them.
        """
        self.wait(self.send(messages))

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Send the messages, persistent; `wait` for what is returned before relying on them.

        Raises the connection's own errors.
        """
        if not self._confirms:
            with self._producer.batch(max_size=REDIS_BATCH):
                for message in messages:
                    self._write(message)
            return self._last_tag
        channel = self._channel.channel_id
        with self._connection.corked():
            for message in messages:
                self._last_tag += 1
                self._outstanding[self._last_tag] = None
                self._connection.publish(message, channel=channel)
        return self._last_tag

    def wait(self, through: int) -> None:
        """Return once the broker has every message through the one that `send` returned.

        Raises NotConfirmed, or the connection's own errors; the broker may then have some of them.
        """
        deadline = time.monotonic() + CONFIRM_SECONDS
        while next(iter(self._outstanding), math.inf) <= through:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotConfirmed(f"the broker did not confirm within {CONFIRM_SECONDS:.0f} s")
            with contextlib.suppress(TimeoutError):
                self._connection.take(seconds=left)
        if self._refusals:
            raise NotConfirmed(f"the broker refused a message: {self._refusals[0]}")

    def _write(self, message: Outgoing) -> None:
        """Publish on Redis."""
        self._producer.publish(
            message.body,
            exchange=message.exchange,
            routing_key=message.routing_key,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            delivery_mode=PERSISTENT,
            message_id=message.message_id,
            type=message.type,
            priority=message.priority,
            headers=dict(message.headers),
            retry=False,
        )

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001 - amqp calls it
        if multiple:
            for tag in [tag for tag in self._outstanding if tag <= delivery_tag]:
                del self._outstanding[tag]
        else:
            self._outstanding.pop(delivery_tag, None)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001 - amqp calls it
        self._refusals.append("it was not stored")
        self._on_ack(delivery_tag, multiple)

    def _on_return(self, error: Exception, exchange: str, routing_key: str, _: object) -> None:
        self._refusals.append(f"{error} (exchange {exchange!r}, routing key {routing_key!r})")


class _Bindings:
    """Which queues an exchange on Redis leads to; kombu would ask for that with every message.

    Raises NotConfirmed where there are none: kombu would drop the message in silence.
    """

    def __init__(self, read: Callable[[str], list[Any]]) -> None:
        self._read = read
        self._known: dict[str, tuple[float, list[Any]]] = {}

    def __call__(self, exchange: str) -> list[Any]:
        read_at, table = self._known.get(exchange, (-math.inf, []))
        if time.monotonic() - read_at > BINDINGS_SECONDS:
            table = self._read(exchange)
            if not table:
                raise NotConfirmed(f"no queue is bound to the exchange {exchange!r}")
            self._known[exchange] = time.monotonic(), table
        return table
