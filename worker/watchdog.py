"""The watchdog: ends a worker that no longer makes progress, and shows that one still does.

A worker can look alive and take nothing: celery #8030, #8091, #9054 and others tell of stalls after
a broker's restart. Killing it is safe here, since what it holds is delivered again; so progress is
what is looked at, not a timer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog
from kombu.exceptions import KombuError

from config.streams import write_last_lines
from worker.messaging import broker

LOOK_SECONDS: Final = 5.0
# Nothing legitimate keeps the loop, or an idle slot beside waiting messages, still for so long.
STALL_SECONDS: Final = 60.0

log = structlog.get_logger()


class Watched(Protocol):
    """What the watchdog looks at; times are of the monotonic clock, in seconds."""

    turned_at: float
    received_at: float

    def in_hand(self) -> int:
        """Return how many messages are being worked on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen in one look; `waiting` is None when the broker does not answer."""

    now: float
    turned_at: float
    received_at: float
    idle_since: float
    waiting: int | None


def stalled(sight: Sight, *, seconds: float = STALL_SECONDS) -> str:
    """Say why a worker counts as stalled; empty while it does not.

    `idle_since` is since when slots have been free and messages waiting. While the broker is away
    nothing can be expected of a worker.
    """
    if sight.waiting is None:
        return ""
    if sight.now - sight.turned_at > seconds:
        return f"its event loop has not turned for {sight.now - sight.turned_at:.0f} s"
    still = sight.now - max(sight.received_at, sight.idle_since)
    if sight.waiting and still > seconds:
        return f"{sight.waiting} messages wait, slots are free, and none came for {still:.0f} s"
    return ""


class Watchdog:
    """Looks at a worker every few seconds from a thread of its own."""

    def __init__(
        self,
        watched: Watched,
        *,
        broker_url: str,
        queues: Sequence[str],
        slots: int,
        health_file: Path | None,
        draining: threading.Event,
        look_seconds: float = LOOK_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        end: Callable[[int], object] | None = None,
    ) -> None:
        """`health_file` is touched at every look that finds progress: a probe checks its age.

        While the worker is draining nobody looks, and it is touched as long as jobs are in hand.
        """
        self._watched = watched
        self._broker_url = broker_url
        self._queues = queues
        self._slots = slots
        self._health_file = health_file
        self._draining = draining
        self._look_seconds = look_seconds
        self._stall_seconds = stall_seconds
        self._end = end or _exit
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def _run(self) -> None:
        idle_since = reachable_since = time.monotonic()
        while not self._draining.wait(self._look_seconds):
            waiting = waiting_messages(self._broker_url, self._queues)
            now = time.monotonic()
            if waiting is None:
                reachable_since = now
            if not waiting or self._watched.in_hand() >= self._slots:
                idle_since = now
            sight = Sight(
                now=now,
                # After an outage a worker gets its full time to come back.
                turned_at=max(self._watched.turned_at, reachable_since),
                received_at=self._watched.received_at,
                idle_since=max(idle_since, reachable_since),
                waiting=waiting,
            )
            if why := stalled(sight, seconds=self._stall_seconds):
                log.critical("worker.stalled", why=why)
                self._end(1)
                return
            self._show()
        # A drain ends by its own timeout; what comes after its last job has to be quick.
        while self._watched.in_hand():
            self._show()
            time.sleep(self._look_seconds)

    def _show(self) -> None:
        if self._health_file is not None:
            with contextlib.suppress(OSError):
                self._health_file.touch()


def _exit(status: int) -> None:
    write_last_lines()
    os._exit(status)


def waiting_messages(broker_url: str, queues: Sequence[str]) -> int | None:
    """Count the messages ready on these queues; None if the broker does not say.

    Over a connection of its own, since the worker's may be what is stuck.
    """
    connection = broker.connection(broker_url)
    away: tuple[type[BaseException], ...] = (OSError, KombuError, *connection.connection_errors)
    try:
        with connection:
            connection.connect()
            return sum(broker.ready_messages(connection, name) for name in queues)
    except away:
        return None
