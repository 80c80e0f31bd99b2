"""The declarer: declares exchanges and queues again after somebody deleted them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import structlog

from worker.broker.base import Broker

# How often to declare even if nobody asked: a missing exchange inside the chain of delays makes no
# publish fail.
INTERVAL_SECONDS: Final = 60.0
# The shortest time between two declarations, however many ask.
MIN_INTERVAL_SECONDS: Final = 1.0

log = structlog.get_logger()


class Declarer:
    """Declares in a thread and over a connection of its own.

    A queue that does not answer to a declaration must not hold up messages for others.
    """

    def __init__(self, broker: Broker, job_queues: Sequence[str]) -> None:
        self._broker = broker
        self._job_queues = job_queues
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="declarer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self) -> None:
        """Ask for everything to be declared soon. For any thread."""
        self._asked.set()

    def stop(self) -> None:
        """Stop, without waiting for an answer."""
        self._stopped.set()
        self._asked.set()

    def _run(self) -> None:
        said: set[str] = set()
        while not self._stopped.is_set():
            self._asked.wait(INTERVAL_SECONDS)
            if self._stopped.is_set():
                return
            self._asked.clear()
            errors = self._declare()
            for error in errors - said:
                log.warning("broker.not_declared", error=error)
            said = errors
            self._stopped.wait(MIN_INTERVAL_SECONDS)

    def _declare(self) -> set[str]:
        try:
            with self._broker.connection() as connection:
                connection.connect()
                refused = self._broker.declare_each(connection, self._job_queues)
        except Exception:  # noqa: BLE001 - a broker that is away is the publisher's to report
            return set()
        return {str(one.error)[:300] for one in refused}
