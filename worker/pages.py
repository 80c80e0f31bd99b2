"""The pages of a worker: `/metrics`, `/healthz` and `/readyz`."""

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
    """The `WorkerState` of this process's worker."""

    pool: TaskPool
    consumer: JobConsumer
    parts: Parts
    watchdog: Watchdog
    slots: int

    def threads(self) -> Mapping[str, int]:
        """Count threads; those that are not started yet count as idle."""
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
        """Count messages that were sent again."""
        return self.parts.publisher.repeats

    def store_errors(self) -> int:
        """Count failed calls to the store."""
        return store_errors()

    def dropped_lines(self) -> int:
        """Count lost lines of the log."""
        return dropped_lines()

    def progress_at(self) -> float:
        """Return when the watchdog last found nothing wrong."""
        return self.watchdog.progress_at


class WorkerPages:
    """Keeps a worker's metrics, and serves them with its probes."""

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
