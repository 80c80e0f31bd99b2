"""What it means to publish so that the broker has it, whichever broker that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from worker.messages.outgoing import Outgoing


class NotConfirmed(Exception):
    """The broker refused or returned a message, or did not confirm it in time."""


class ConfirmedProducer(Protocol):
    """Publishes batches over one connection; after an error the connection is to be thrown away."""

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish the messages, persistent, and return once the broker has all of them.

        Raises NotConfirmed, or the connection's own errors; the broker may then have some of them.
        """

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Send the messages, persistent; `wait` for what is returned before relying on them.

        Raises as `publish` does.
        """

    def wait(self, through: int) -> None:
        """Return once the broker has every message through the one that `send` returned.

        Raises as `publish` does.
        """
