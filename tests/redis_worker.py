"""A worker process on the Redis transport, ours or kombu's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.celery_worker import CeleryWorker
from worker.broker.redis.transport import worker_url


class RedisWorker(CeleryWorker):
    """One worker of `redis_worker_app`, which says what its `settings` are."""

    def __init__(
        self,
        url: str,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        *,
        threads: int = 4,
        on_ours: bool = True,
    ) -> None:
        variables = {
            "BROKER_URL": worker_url(url) if on_ours else url,
            "CRASHED": folder / "crashed",
            **(settings or {}),
        }
        super().__init__(
            "redis_worker_app",
            folder,
            variables,
            *("--without-heartbeat", "-l", "warning"),
            threads=threads,
        )
