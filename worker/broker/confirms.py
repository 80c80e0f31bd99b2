"""What it means to publish so that the broker has it, whichever broker that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from tasks.messages.outgoing import Outgoing


class NotConfirmed(Exception):
    """The broker refused or returned a message, or did not confirm it in time."""


class Blocked(NotConfirmed):
    """An alarm keeps the broker from taking messages; the text names it, as in "memory alarm"."""


class Unsendable(ValueError):
    """A message cannot be written as the broker's protocol has it; the fault is its own."""


class Kind(Enum):
    """What is wrong with a message, or with where it goes."""

    # The exchange is not there, or no queue takes what comes to it.
    MISSING = auto()
    # It was not stored: the queue is full, or not available.
    NOT_STORED = auto()
    TOO_LARGE = auto()
    # It cannot be written, or the broker cannot read it.
    UNSENDABLE = auto()
    DENIED = auto()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message was not taken; `most` is how many octets are, where the broker says so."""

    kind: Kind
    why: str
    most: int | None = None


class ConfirmedProducer(Protocol):
    """Publishes over one connection; after an error the connection is to be thrown away.

    Messages are numbered as they are sent, from 1. What is refused does not keep others from being
    taken, unless the broker ends the channel or the connection over it.
    """

    @property
    def blocked(self) -> str:
        """What keeps the broker from taking anything now, such as "memory alarm"; else empty."""

    @property
    def heard_at(self) -> float:
        """When the broker last showed a sign of life, on the monotonic clock.

        Infinity where its protocol has none beside its answers. Raises the connection's own errors.
        """

    def beat(self) -> None:
        """Show the broker a sign of life, where its protocol has such a thing."""

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish the messages, persistent, and return once the broker has all of them.

        Raises NotConfirmed, or the connection's own errors; the broker may then have some of them.
        """

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Send the messages, persistent, and return the number of the last one.

        Raises the connection's own errors.
        """

    def wait(self, through: int) -> None:
        """Return once the broker has every message through this number.

        Raises as `publish` does.
        """

    def take(self, *, seconds: float = 0) -> list[tuple[int, Refusal | None]]:
        """Return what was confirmed or refused since, waiting so long at most for something.

        For whoever goes on with the others: `wait` raises what this returns. Raises the
        connection's own errors.
        """
