"""The interface of publishing with confirms, the same for every broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from tasks.messages.outgoing import Outgoing


class NotConfirmed(Exception):
    """The broker refused or returned a message, or did not confirm it in time."""


class Blocked(NotConfirmed):
    """The broker accepts no messages during an alarm, which the text names: "memory alarm"."""


class Unsendable(ValueError):
    """The broker's protocol has no form for this message."""


class RefusalKind(Enum):
    """What is wrong with a message, or with its destination."""

    # The exchange does not exist, or no queue is bound for this message.
    MISSING = auto()
    # It was not stored: the queue is full, or not available.
    NOT_STORED = auto()
    TOO_LARGE = auto()
    # It cannot be written, or the broker cannot read it.
    UNSENDABLE = auto()
    DENIED = auto()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message was refused; `most` is the broker's size limit in octets, if it names one."""

    kind: RefusalKind
    why: str
    most: int | None = None


class ConfirmedProducer(Protocol):
    """Publishes over one connection, which its caller must drop after an error.

    Messages are numbered as they are sent, from 1. A refused message does not affect the others,
    unless the broker closes the channel or the connection because of it.
    """

    @property
    def blocked(self) -> str:
        """Why the broker accepts nothing now, such as "memory alarm"; empty if it does."""

    @property
    def heard_at(self) -> float:
        """When something last came from the broker, on the monotonic clock.

        Infinity if its protocol has no heartbeats. Raises the connection's own errors.
        """

    def beat(self) -> None:
        """Send a heartbeat, if the protocol has them."""

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish the messages, persistent, and return once all are confirmed.

        Raises NotConfirmed, or the connection's own errors; the broker may then have some of them.
        """

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Send the messages, persistent, and return the number of the last one.

        Raises the connection's own errors.
        """

    def wait(self, through: int) -> None:
        """Return once every message through this number is confirmed.

        Raises as `publish` does.
        """

    def take(self, *, seconds: float = 0) -> list[tuple[int, Refusal | None]]:
        """Return the confirms (None) and refusals since the last call, by message number.

        Waits at most `seconds` for the first. A refusal is returned here, and raised by `wait`.
        Raises the connection's own errors.
        """
