"""The pages of a worker: `/metrics`, `/healthz` and `/readyz`, made of its parts when asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from config.streams import dropped_lines
from tasks.store.replies import store_errors
from worker.consumer import JobConsumer
from worker.health import Health
from worker.metrics import WorkerMetrics
from worker.parts import Parts
from worker.pool import TaskPool
from worker.serving import PageServer
from worker.watchdog import Watchdog


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of a worker of this process, as `WorkerState` wants it."""

    pool: TaskPool
    consumer: JobConsumer
    parts: Parts
    watchdog: Watchdog
    slots: int

    def threads(self) -> Mapping[str, int]:
        """Count threads, those that are not started yet among the idle ones."""
        busy = self.pool.busy
        waiting = min(busy, len(self.parts.permits.waiting))
        return {"working": busy - waiting, "waiting": waiting, "idle": self.slots - busy}

    def in_hand(self) -> int:
        """Count messages."""
        return self.consumer.in_hand()

    def unconfirmed(self) -> int:
        """Count outcomes."""
        return self.parts.publisher.waiting

    def publish_repeats(self) -> int:
        """Count what was sent again."""
        return self.parts.publisher.repeats

    def store_errors(self) -> int:
        """Count failures of the store."""
        return store_errors()

    def dropped_lines(self) -> int:
        """Count lost lines."""
        return dropped_lines()

    def progress_at(self) -> float:
        """Return when nothing stood still."""
        return self.watchdog.progress_at


class WorkerPages:
    """Measures what a worker does, and serves that with its probes."""

    def __init__(self, address: str, accounts: Collection[str]) -> None:
        """Serve at `host:port`, once there is a worker."""
        self._address = address
        self.metrics = WorkerMetrics(accounts)

    def serve(
        self,
        *,
        pool: TaskPool,
        consumer: JobConsumer,
        parts: Parts,
        watchdog: Watchdog,
        slots: int,
    ) -> None:
        """Serve the pages of this worker until the process ends. Raises CannotServe."""
        self.metrics.watch(
            State(pool=pool, consumer=consumer, parts=parts, watchdog=watchdog, slots=slots)
        )
        health = Health(watchdog, consumer, parts.shutdown.draining)
        PageServer(
            self._address,
            {
                "/metrics": self.metrics.page,
                "/healthz": lambda _: health.live(),
                "/readyz": lambda _: health.ready(),
            },
            named_by="OVERTURE_METRICS_ADDRESS",
        )
