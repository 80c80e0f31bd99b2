"""Health: what a probe is told of a worker, by the one definition of progress (`progress.py`)."""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

from worker.progress import STALL_SECONDS, Verdict
from worker.serving import Page, unwell, well

# A server that has not answered for so long counts as away; the watchdog asks every five seconds.
# In seconds.
LATELY_SECONDS: Final = 20.0


class Looking(Protocol):
    """What is asked of the watchdog; times are of the monotonic clock, in seconds."""

    verdict: Verdict
    looked_at: float
    broker_seen_at: float
    store_seen_at: float


class Consuming(Protocol):
    """What is asked of the consumer."""

    is_consuming: bool


class Health:
    """Answers the probes of a worker."""

    def __init__(self, watchdog: Looking, consumer: Consuming, draining: threading.Event) -> None:
        self._watchdog = watchdog
        self._consumer = consumer
        self._draining = draining

    def live(self) -> Page:
        """Tell whether the worker makes progress, or name what stands still.

        While it waits for somebody else a restart would not help it, and all is well.
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
        """Tell whether the worker takes messages and has its servers, or name what it lacks."""
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
