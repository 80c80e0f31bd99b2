"""The end of a worker after a signal: a drain, with a time limit."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import structlog
from celery import signals
from celery.worker import state

from config.streams import write_last_lines
from worker.consumer import JobConsumer
from worker.parts import Parts

POLL_SECONDS: Final = 0.1
# How long the rest may take after the drain: confirms, pending writes.
CLOSE_SECONDS: Final = 5.0

log = structlog.get_logger()


def on_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    """Call a function on the signals that end a process.

    Not on SIGHUP if it is ignored: a process under `nohup` must go on doing so.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


class Stop:
    """Drains and ends a worker after a signal."""

    def __init__(self, worker: Any, parts: Parts, *, drain_seconds: float) -> None:
        self._worker = worker
        self._parts = parts
        self._drain_seconds = drain_seconds
        self._asked = 0

    def listen(self) -> None:
        """Handle the signals that end a process."""
        on_signals(self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        is_first = not self._asked
        # A closed terminal sends SIGHUP more than once, and systemd sends it after SIGTERM: so it
        # never counts as a second signal.
        if is_first or number != signal.SIGHUP:
            self._asked += 2 if number == signal.SIGQUIT else 1
        if is_first:
            self._parts.shutdown.draining.set()
            threading.Thread(target=self._drain, args=(number,), name="drain", daemon=True).start()

    def _drain(self, number: int) -> None:
        consumer: JobConsumer = self._worker.consumer
        name = signal.Signals(number).name
        log.info("worker.draining", signal=name, in_hand=consumer.in_hand())
        signals.worker_shutting_down.send(
            sender=self._worker.hostname, sig=name, how="Warm", exitcode=0
        )
        consumer.stop_taking()
        deadline = time.monotonic() + self._drain_seconds
        while consumer.in_hand() and time.monotonic() < deadline and self._asked == 1:
            time.sleep(POLL_SECONDS)
        left = consumer.in_hand()
        log.info("worker.drained", handed_back=left)
        # Celery's loop looks at this flag in every turn.
        state.should_stop = 0  # type: ignore[assignment] # typed by its first value, None
        if left:
            # Threads in a call cannot be stopped; their jobs are delivered again.
            self._parts.close(seconds=CLOSE_SECONDS)
            write_last_lines()
            os._exit(0)
