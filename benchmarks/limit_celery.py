"""What one writes first: a Celery task that retries a 429 after a second.

`BENCH_RATE_LIMIT` sets Celery's own `rate_limit`, which each worker process keeps by itself.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import Celery

from tests.simulator_client import Client

PAUSE_SECONDS = 1

app = Celery("plain", broker=os.environ.get("BENCH_BROKER_URL", "memory://"))
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=2)

_local = threading.local()


@app.task(bind=True, max_retries=None, rate_limit=os.environ.get("BENCH_RATE_LIMIT") or None)
def create(task: Any, consumer: str) -> None:
    """Open a conversation."""
    if not hasattr(_local, "client"):
        _local.client = Client(os.environ["BENCH_API_URL"])
        _local.headers = _local.client.tokens(f"{consumer}-{threading.get_ident()}")
    answer = _local.client.create(_local.headers)
    if answer.status_code == 429:
        raise task.retry(countdown=PAUSE_SECONDS)
    answer.raise_for_status()
