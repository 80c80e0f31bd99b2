"""Publishing on any other broker that kombu knows, message by message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from kombu import Connection, Producer
from kombu.exceptions import EncodeError

from tasks.messages.outgoing import PERSISTENT, Outgoing
from worker.broker.confirms import Kind, NotConfirmed, Refusal


class KombuProducer:
    """A ConfirmedProducer, as far as the broker's transport confirms anything."""

    blocked = ""

    def __init__(self, broker: Connection) -> None:
        self._producer = cast("Any", Producer(broker.channel(), auto_declare=False))
        self._last = 0
        self._settled: list[tuple[int, Refusal | None]] = []

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish the messages one by one."""
        self.wait(self.send(messages))

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Publish the messages one by one; what cannot be written holds no other one up."""
        for message in messages:
            self._last += 1
            refusal = None
            try:
                self._publish(message)
            except (TypeError, ValueError, EncodeError) as error:
                refusal = Refusal(Kind.UNSENDABLE, f"it cannot be written ({error})")
            self._settled.append((self._last, refusal))
        return self._last

    def wait(self, through: int) -> None:
        """Return at once, as what was sent is there; raises NotConfirmed for what is not."""
        del through
        for _, refusal in self.take():
            if refusal is not None:
                raise NotConfirmed(refusal.why)

    def take(self, *, seconds: float = 0) -> list[tuple[int, Refusal | None]]:
        """Return what was confirmed or refused since."""
        del seconds
        settled, self._settled = self._settled, []
        return settled

    def _publish(self, message: Outgoing) -> None:
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
