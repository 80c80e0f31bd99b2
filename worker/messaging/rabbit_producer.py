"""Publishing on RabbitMQ: a batch goes out as a whole, and its confirms are awaited together."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from typing import Any, Final, cast

from kombu import Connection

from worker.messages.outgoing import Outgoing
from worker.messaging.confirms import NotConfirmed

CONFIRM_SECONDS: Final = 15.0


class RabbitProducer:
    """A ConfirmedProducer; a message that no queue takes counts as refused."""

    def __init__(self, broker: Connection) -> None:
        # kombu's types know neither amqp's connection nor its events.
        self._connection = cast("Any", broker.connection)
        self._channel = cast("Any", broker.channel())
        self._last_tag = 0
        # In the order they were sent.
        self._outstanding: dict[int, None] = {}
        self._refusals: list[str] = []
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        self._channel.confirm_select()

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send the messages and wait for them."""
        self.wait(self.send(messages))

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Write the messages; returns the tag of the last one."""
        channel = self._channel.channel_id
        with self._connection.corked():
            for message in messages:
                self._last_tag += 1
                self._outstanding[self._last_tag] = None
                self._connection.publish(message, channel=channel)
        return self._last_tag

    def wait(self, through: int) -> None:
        """Wait for the confirms through a tag; raises NotConfirmed after CONFIRM_SECONDS."""
        deadline = time.monotonic() + CONFIRM_SECONDS
        while next(iter(self._outstanding), math.inf) <= through:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotConfirmed(f"the broker did not confirm within {CONFIRM_SECONDS:.0f} s")
            with contextlib.suppress(TimeoutError):
                self._connection.take(seconds=left)
        if self._refusals:
            raise NotConfirmed(f"the broker refused a message: {self._refusals[0]}")

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
