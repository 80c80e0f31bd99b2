"""A delivery: one message in hand, until it is acknowledged, handed back or put off."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from kombu import Message

from tasks.delivery import Publisher
from tasks.messages.intake import Received
from worker.broker.in_hand import InHand
from worker.broker.message import body_of, received

ENQUEUED_HEADER: Final = "enqueued-at"


class Delivery(ABC):
    """One message in hand. Call one of `ack`, `requeue` and `defer`, once, from any thread."""

    def __init__(
        self, message: Message, *, queue: str, in_hand: InHand, publisher: Publisher
    ) -> None:
        self.message = message
        self._in_hand = in_hand
        self._publisher = publisher
        self.queue = queue
        self.channel: Any = message.channel
        self.tag: Any = message.delivery_tag

    @property
    def body(self) -> bytes:
        """The message's body."""
        return body_of(self.message)

    @property
    def received(self) -> Received:
        """The message in the form that the task reads."""
        return received(self.message)

    @property
    def enqueued_at(self) -> str | None:
        """When the producer enqueued the job, if the message says so: RFC 3339."""
        value = self.message.headers.get(ENQUEUED_HEADER)
        return value if isinstance(value, str) else None

    def ack(self) -> None:
        """Acknowledge the message soon: the connection's thread writes it."""
        self._in_hand.ack(self)

    def requeue(self) -> None:
        """Hand the message back: another worker may take it at once."""
        self._in_hand.end(self, self.message.requeue)

    @abstractmethod
    def defer(self, seconds: float) -> None:
        """Put the message off: the broker delivers it again after `seconds`.

        The broker holds it meanwhile, not this worker.
        """

    def acknowledge(self, *, multiple: bool) -> None:
        """Write the acknowledgement. Only for the connection's own thread."""
        self.message.ack(multiple=multiple)
