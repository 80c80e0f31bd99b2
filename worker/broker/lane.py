"""A lane: one connection of the publisher, and the messages on it that await a confirm."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from kombu import Connection

from tasks.messages.outgoing import Outgoing
from worker.broker.base import Broker
from worker.broker.confirms import ConfirmedProducer, Refusal

# RabbitMQ's heartbeat; after SILENT_SECONDS without one, the broker counts as gone.
HEARTBEAT_SECONDS: Final = 10
SILENT_SECONDS: Final = 15.0
# How long a live broker may confirm nothing before everything is sent again; doubled each time in
# a row, up to the maximum.
RESEND_SECONDS: Final = 60.0
MAX_RESEND_SECONDS: Final = 600.0
# Pauses between attempts to reach a broker that is away: the first, and the longest.
FIRST_PAUSE_SECONDS: Final = 0.2
MAX_PAUSE_SECONDS: Final = 5.0

Callback = Callable[[], object]


class Silent(Exception):
    """The broker has sent no heartbeat, or confirmed nothing, for too long."""


@dataclass(slots=True, kw_only=True, eq=False)
class Letter:
    """A message to publish, with the callbacks for its confirm and for giving it up.

    Times are of the monotonic clock; `losses` counts the connections that broke while it waited for
    its confirm.
    """

    key: object
    message: Outgoing
    since: float
    confirmed: list[Callback] = field(default_factory=list)
    handed_back: list[Callback] = field(default_factory=list)
    losses: int = 0
    refusals: int = 0
    refused_at: float = 0.0
    refusal: Refusal | None = None
    is_alone: bool = False


class Lane:
    """Sends over a connection of its own, which it opens at the first message."""

    def __init__(self, broker: Broker, *, while_stuck: Callback) -> None:
        """`while_stuck` is called repeatedly while the broker reads nothing; it may raise."""
        self._broker = broker
        self._while_stuck = while_stuck
        self._connection: Connection | None = None
        self._producer: ConfirmedProducer | None = None
        self._beat_at = self._progress_at = self._ready_at = 0.0
        self._resend_seconds = RESEND_SECONDS
        self._pause = FIRST_PAUSE_SECONDS
        self._numbered = 0
        self._connected_at = 0.0
        self.sent: dict[int, Letter] = {}
        self.sent_at = 0.0

    @property
    def blocked(self) -> str:
        """Why the broker accepts nothing now; empty if it does."""
        return self._producer.blocked if self._producer else ""

    def age(self) -> float:
        """Return for how many seconds the connection has been open."""
        return time.monotonic() - self._connected_at if self._producer else 0.0

    def late(self) -> float:
        """Return the seconds since the last confirm, while any is awaited."""
        return time.monotonic() - self._progress_at if self.sent else 0.0

    def ready_at(self) -> float:
        """Return when to try again, after the broker was away."""
        return self._ready_at

    def send(self, letters: Sequence[Letter]) -> None:
        """Send letters, which belong to this lane now. Raises the connection's own errors."""
        producer = self._producer or self._connect()
        if not self.sent:
            self._progress_at = time.monotonic()
        first = self._numbered + 1
        self.sent.update(enumerate(letters, first))
        self._numbered += len(letters)
        producer.send([letter.message for letter in letters])
        self.sent_at = time.monotonic()

    def take(self, *, seconds: float) -> list[tuple[Letter, Refusal | None]]:
        """Return the letters confirmed (None) or refused by now, waiting at most `seconds`.

        Sends a heartbeat when one is due. Raises Silent, or the connection's own errors.
        """
        if self._producer is None:
            return []
        found = [
            (self.sent.pop(number), refusal)
            for number, refusal in self._producer.take(seconds=seconds)
        ]
        now = time.monotonic()
        if any(refusal is None for _, refusal in found):
            self._resend_seconds, self._pause = RESEND_SECONDS, FIRST_PAUSE_SECONDS
        if found or self.blocked:
            self._progress_at = now
        if now - self._beat_at > HEARTBEAT_SECONDS / 2:
            self._beat_at = now
            self._demand_life()
            self._producer.beat()
        if self.sent and now - self._progress_at > self._resend_seconds:
            raise Silent(f"the broker confirmed nothing for {now - self._progress_at:.0f} s")
        return found

    def give_up(self, error: Exception) -> list[Letter]:
        """Drop the connection after an error, and return the letters that were on it."""
        letters = list(self.sent.values())
        if letters and isinstance(error, Silent):
            self._resend_seconds = min(self._resend_seconds * 2, MAX_RESEND_SECONDS)
        if self._broker.refusal_of(error) is None:
            self._ready_at = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)
        self.close(at_once=True)
        return letters

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection; without a handshake if the broker might not answer."""
        connection, self._connection, self._producer = self._connection, None, None
        at_once = at_once or bool(self.sent)
        self.sent = {}
        if connection is not None:
            with contextlib.suppress(Exception):
                if at_once:
                    connection.collect()
                else:
                    connection.release()

    def _connect(self) -> ConfirmedProducer:
        self._connection = self._broker.connection(heartbeat=HEARTBEAT_SECONDS)
        self._connection.connect()
        self._producer = self._broker.producer(self._connection, while_stuck=self._wait)
        self._numbered = 0
        self._connected_at = time.monotonic()
        return self._producer

    def _wait(self) -> None:
        self._demand_life()
        self._while_stuck()

    def _demand_life(self) -> None:
        """Raise Silent if heartbeats have stopped."""
        if self._producer and time.monotonic() - self._producer.heard_at > SILENT_SECONDS:
            raise Silent(f"no heartbeat from the broker for {SILENT_SECONDS:.0f} s")
