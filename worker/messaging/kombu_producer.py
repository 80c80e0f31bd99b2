"""Publishing on any other broker that kombu knows, message by message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from kombu import Connection, Producer

from worker.messages.outgoing import PERSISTENT, Outgoing


class KombuProducer:
    """A ConfirmedProducer, as far as the broker's transport confirms anything."""

    def __init__(self, broker: Connection) -> None:
        self._producer = cast("Any", Producer(broker.channel(), auto_declare=False))

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish the messages one by one."""
        for message in messages:
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

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Publish the messages; nothing is left to wait for."""
        self.publish(messages)
        return 0

    def wait(self, through: int) -> None:
        """Return at once: what was sent is there."""
