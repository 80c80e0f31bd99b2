"""A delivery: one message in hand, which ends acknowledged, handed back, or put off."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Protocol

from kombu import Message

from tasks.messages.intake import READ_HEADERS, TRACE_HEADERS, Received
from tasks.messages.outgoing import Outgoing
from worker.broker import broker, inbound
from worker.broker.in_hand import InHand

ENQUEUED_HEADER: Final = "enqueued-at"
# RabbitMQ's native delay counts whole seconds.
SHORTEST_DELAY_SECONDS: Final = 1
# What a message that is put off keeps of its headers: nothing else is read again, or comes back,
# and a producer's headers may be such that the broker would not take them from us.
KEPT_HEADERS: Final = (*sorted(READ_HEADERS), ENQUEUED_HEADER, *sorted(TRACE_HEADERS))


class Sender(Protocol):
    """What a delivery needs of the publisher."""

    def send(
        self,
        message: Outgoing,
        confirmed: Callable[[], object],
        handed_back: Callable[[], object] | None = None,
    ) -> None:
        """Have a message sent and `confirmed` called then, or `handed_back` if it cannot be."""


class Delivery:
    """One message in hand. `ack`, `requeue` and `defer` are for any thread, one of them once."""

    def __init__(self, message: Message, *, queue: str, in_hand: InHand, sender: Sender) -> None:
        self._message = message
        self._in_hand = in_hand
        self._sender = sender
        self.queue = queue
        self.channel: Any = message.channel
        self.tag: Any = message.delivery_tag

    @property
    def body(self) -> bytes:
        """What the message holds."""
        return broker.body_of(self._message)

    @property
    def received(self) -> Received:
        """The message as it came, for reading."""
        return inbound.received(self._message)

    @property
    def enqueued_at(self) -> str | None:
        """When the producer enqueued the job, if the message says so: RFC 3339."""
        value = self._message.headers.get(ENQUEUED_HEADER)
        return value if isinstance(value, str) else None

    def ack(self) -> None:
        """Tell the broker that the message is dealt with."""
        self._in_hand.ack(self)

    def requeue(self) -> None:
        """Give the message back, for another worker to take at once."""
        self._in_hand.end(self, self._message.requeue)

    def defer(self, seconds: float) -> None:
        """Have the broker hand the message out again after so many seconds.

        The delay is the broker's to keep: no memory of a worker holds it.
        """
        if self._in_hand.is_amqp:
            self._sender.send(self._later(seconds), self.ack, self.requeue)
        else:
            self._in_hand.end(self, lambda: self.channel.defer(self.tag, seconds))

    def acknowledge(self, *, multiple: bool) -> None:
        """Write the acknowledgement; in the connection's own thread."""
        self._message.ack(multiple=multiple)

    def _later(self, seconds: float) -> Outgoing:
        message = self._message
        whole = max(SHORTEST_DELAY_SECONDS, math.ceil(seconds))
        headers = {
            name: value
            for name in KEPT_HEADERS
            if isinstance(value := message.headers.get(name), str | bytes)
        }
        received = self.received
        return Outgoing(
            exchange=broker.DELAY_EXCHANGE,
            routing_key=broker.delayed_routing_key(self.queue, whole),
            body=received.body,
            message_id=str(message.properties.get("message_id") or ""),
            priority=int(message.properties.get("priority") or 0),
            headers=headers,
            content_type=received.content_type or "application/json",
            content_encoding=received.content_encoding or "utf-8",
        )
