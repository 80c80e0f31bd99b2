"""What a task needs of the process that it runs in: its message, and how to publish an outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tasks.messages.intake import Received
from tasks.messages.outgoing import Outgoing


class Delivery(Protocol):
    """One message in hand. Call one of `ack`, `requeue` and `defer`, once, from any thread."""

    @property
    def body(self) -> bytes:
        """The message's body."""

    @property
    def received(self) -> Received:
        """The message in the form that the task reads."""

    @property
    def queue(self) -> str:
        """The jobs queue that it came from."""

    @property
    def enqueued_at(self) -> str | None:
        """When the producer enqueued the job, if the message says so: RFC 3339."""

    def ack(self) -> None:
        """Acknowledge the message soon: the connection's thread writes it."""

    def requeue(self) -> None:
        """Hand the message back: another worker may take it at once."""

    def defer(self, seconds: float) -> None:
        """Put the message off: the broker, not this worker, holds it for that long."""


class Publisher(Protocol):
    """Publishes messages, in its own thread."""

    def send(
        self,
        message: Outgoing,
        confirmed: Callable[[], object],
        handed_back: Callable[[], object] | None = None,
    ) -> None:
        """Queue a message; calls `confirmed` once the broker has it, or `handed_back` if never."""
