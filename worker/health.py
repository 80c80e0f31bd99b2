"""The answers to a worker's probes, by the definition of progress in `progress.py`."""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

from worker.progress import STALL_SECONDS, Verdict
from worker.serving import Page, unwell, well

# A server that has not answered for this long counts as away; the watchdog asks every 5 s.
LATELY_SECONDS: Final = 20.0


class Looking(Protocol):
    """What is read of the watchdog; times are of the monotonic clock, in seconds."""

    verdict: Verdict
    looked_at: float
    broker_seen_at: float
    store_seen_at: float


class Consuming(Protocol):
    """What is read of the consumer."""

    is_consuming: bool


class Health:
    """Answers the probes of a worker."""

    def __init__(self, watchdog: Looking, consumer: Consuming, draining: threading.Event) -> None:
        self._watchdog = watchdog
        self._consumer = consumer
        self._draining = draining

    def live(self) -> Page:
        """Answer whether the worker makes progress, or what stands still.

        If it only waits for a server, a restart would not help: then it counts as alive.
        """
        still = time.monotonic() - self._watchdog.looked_at
        if still > STALL_SECONDS:
            return unwell(f"its watchdog has not looked for {still:.0f} s")
        verdict = self._watchdog.verdict
        if verdict.state in {"refused", "stalled"}:
            return unwell(f"{verdict.state}: {verdict.why}")
        if self._draining.is_set():
            return well("draining")
        return well(f"held: {verdict.why}" if verdict.why else "fine")

    def ready(self) -> Page:
        """Answer whether the worker takes messages and reaches its servers, or what is missing."""
        if self._draining.is_set():
            return unwell("it is draining")
        if not self._consumer.is_consuming:
            return unwell("it takes no messages: it has no connection to the broker")
        seen = {"broker": self._watchdog.broker_seen_at, "store": self._watchdog.store_seen_at}
        for what, seen_at in seen.items():
            unseen = time.monotonic() - seen_at
            if unseen > LATELY_SECONDS:
                return unwell(f"the {what} has not answered for {unseen:.0f} s")
        return well("ready")
