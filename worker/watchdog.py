"""The watchdog: ends a worker that makes no progress, and touches the health file of one that does.

A worker can look alive and take no jobs: celery #8030, #8091, #9054 and others report stalls after
a broker's restart. Ending it is safe, since its jobs are delivered again. So progress is checked,
and not only a timer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog
from kombu.exceptions import KombuError

from config.streams import write_last_lines
from tasks.store.connection import StoreError, connect
from worker.broker.base import Broker
from worker.progress import STALL_SECONDS, Snapshot, Verdict, judge

POLL_SECONDS: Final = 5.0
# Written to check whether the store accepts writes.
STORE_KEY: Final = "overture:watchdog"

log = structlog.get_logger()


class Watched(Protocol):
    """What the watchdog reads of the consumer; times are of the monotonic clock, in seconds."""

    turned_at: float
    received_at: float

    def in_hand(self) -> int:
        """Return how many messages are being worked on."""

    def ended_at(self) -> float:
        """Return when a message was last acknowledged, handed back or put off."""


class Publishing(Protocol):
    """What the watchdog reads of the publisher."""

    @property
    def waiting(self) -> int:
        """How many messages are not confirmed."""

    @property
    def confirmed_at(self) -> float:
        """When the broker last confirmed anything."""

    @property
    def trouble(self) -> str:
        """What is wrong with it, or an empty text."""


class Watchdog:
    """Checks a worker every few seconds, in its own thread.

    For any thread: `verdict` is the result of the last check, and `looked_at` its time.
    `broker_seen_at` and `store_seen_at` are when these last answered; all on the monotonic clock.
    `progress_at` is when nothing was wrong last, as Unix time.
    """

    def __init__(
        self,
        watched: Watched,
        *,
        publisher: Publishing,
        answered_at: Callable[[], float],
        answer_seconds: float,
        broker: Broker,
        store_url: str,
        queues: Sequence[str],
        slots: int,
        health_file: Path | None,
        draining: threading.Event,
        look_seconds: float = POLL_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        end: Callable[[int], object] | None = None,
    ) -> None:
        """`answered_at` returns when a thread last got an answer.

        `health_file` is touched at every check that finds nothing wrong, and while a server is away
        or says that it accepts nothing now: a probe checks its age. While the worker is draining
        nothing is checked, and it is touched as long as jobs are in hand.
        """
        self._watched = watched
        self._publisher = publisher
        self._answered_at = answered_at
        self._answer_seconds = answer_seconds
        self._broker = broker
        self._store_url = store_url
        self._queues = queues
        self._slots = slots
        self._health_file = health_file
        self._draining = draining
        self._look_seconds = look_seconds
        self._stall_seconds = stall_seconds
        self._end = end or _exit
        self._reachable_since = self._idle_since = time.monotonic()
        self._busy_since = self._unpublished_since = self._reachable_since
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self.verdict = Verdict("fine")
        # A worker starts only after both have answered.
        self.looked_at = self.broker_seen_at = self.store_seen_at = self._reachable_since
        self.progress_at = time.time()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _run(self) -> None:
        while not self._draining.wait(self._look_seconds):
            try:
                found = self._look()
            except Exception:
                # Without this thread a stalled worker would never be ended.
                log.exception("watchdog.stumbled")
                found = Verdict("fine")
            before, self.verdict = self.verdict, found
            self.looked_at = time.monotonic()
            if found.state == "stalled":
                log.critical("worker.stalled", why=found.why)
                self._end(1)
                return
            if found.state != before.state and found.why:
                log.error("worker.held_up", why=found.why)
            if found.state != "refused":
                self._show()
        # A drain has its own time limit, and what follows its last job is quick.
        while self._watched.in_hand():
            self.looked_at = time.monotonic()
            self._show()
            time.sleep(self._look_seconds)

    def _look(self) -> Verdict:
        ready = waiting_messages(self._broker, self._queues)
        store_answers = takes_writes(self._store_url)
        now = time.monotonic()
        if ready is not None:
            self.broker_seen_at = now
        if store_answers:
            self.store_seen_at = now
        if ready is None:
            # After an outage a worker gets its full time to come back.
            self._reachable_since = now
            return Verdict("fine")
        in_hand, unpublished = self._watched.in_hand(), self._publisher.waiting
        busy = max(0, in_hand - unpublished)
        if not ready or in_hand >= self._slots:
            self._idle_since = now
        if not busy or not store_answers:
            self._busy_since = now
        if not unpublished:
            self._unpublished_since = now
        since = self._reachable_since
        seen = Snapshot(
            now=now,
            turned_at=max(self._watched.turned_at, since),
            received_at=self._watched.received_at,
            moved_at=max(self._watched.ended_at(), self._answered_at()),
            confirmed_at=self._publisher.confirmed_at,
            idle_since=max(self._idle_since, since),
            busy_since=max(self._busy_since, since),
            unpublished_since=max(self._unpublished_since, since),
            ready=ready,
            busy=busy,
            unpublished=unpublished,
            trouble=self._publisher.trouble,
        )
        return judge(seen, seconds=self._stall_seconds, answer_seconds=self._answer_seconds)

    def _show(self) -> None:
        self.progress_at = time.time()
        if self._health_file is not None:
            with contextlib.suppress(OSError):
                self._health_file.touch()


def _exit(status: int) -> None:
    write_last_lines()
    os._exit(status)


def waiting_messages(broker: Broker, queues: Sequence[str]) -> int | None:
    """Count the messages ready on these queues; None if the broker does not answer.

    It opens a connection, since the worker's own may be stuck.
    """
    connection = broker.connection()
    away: tuple[type[BaseException], ...] = (
        OSError,
        KombuError,
        *connection.connection_errors,
        # A Redis server may refuse even a PING, as one does that cannot save its data.
        *connection.channel_errors,
    )
    try:
        with connection:
            connection.connect()
            return sum(broker.ready(connection, name) for name in queues)
    except away:
        return None


def takes_writes(store_url: str) -> bool:
    """Tell whether the store answers and accepts writes, over a new connection, too."""
    try:
        with connect(store_url, connections=1) as store:
            return bool(store.set(STORE_KEY, 1, px=1000))
    except (OSError, StoreError):
        return False
