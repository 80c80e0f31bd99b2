"""A delivery: one message in hand, which ends acknowledged, handed back, or put off."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Protocol

from kombu import Message

from tasks.messages.intake import Received
from tasks.messages.outgoing import Outgoing
from worker.broker.in_hand import InHand
from worker.broker.message import body_of, received

ENQUEUED_HEADER: Final = "enqueued-at"


class Sender(Protocol):
    """What a delivery needs of the publisher."""

    def send(
        self,
        message: Outgoing,
        confirmed: Callable[[], object],
        handed_back: Callable[[], object] | None = None,
    ) -> None:
        """Have a message sent and `confirmed` called then, or `handed_back` if it cannot be."""


class Delivery(ABC):
    """One message in hand. `ack`, `requeue` and `defer` are for any thread, one of them once."""

    def __init__(self, message: Message, *, queue: str, in_hand: InHand, sender: Sender) -> None:
        self.message = message
        self._in_hand = in_hand
        self._sender = sender
        self.queue = queue
        self.channel: Any = message.channel
        self.tag: Any = message.delivery_tag

    @property
    def body(self) -> bytes:
        """What the message holds."""
        return body_of(self.message)

    @property
    def received(self) -> Received:
        """The message as it came, for reading."""
        return received(self.message)

    @property
    def enqueued_at(self) -> str | None:
        """When the producer enqueued the job, if the message says so: RFC 3339."""
        value = self.message.headers.get(ENQUEUED_HEADER)
        return value if isinstance(value, str) else None

    def ack(self) -> None:
        """Tell the broker that the message is dealt with."""
        self._in_hand.ack(self)

    def requeue(self) -> None:
        """Give the message back, for another worker to take at once."""
        self._in_hand.end(self, self.message.requeue)

    @abstractmethod
    def defer(self, seconds: float) -> None:
        """Have the broker hand the message out again after so many seconds.

        The delay is the broker's to keep: no memory of a worker holds it.
        """

    def acknowledge(self, *, multiple: bool) -> None:
        """Write the acknowledgement; in the connection's own thread."""
        self.message.ack(multiple=multiple)
