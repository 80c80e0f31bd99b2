"""A small Celery application on the Redis transport, which notes what it does.

Its surroundings say how: BROKER_URL, EVENTS (a file), LEASE_SECONDS, PREFETCH. Where CRASH_AT is
`taken`, `received` or `done`, it kills itself there, once; CRASHED is a file that says it has.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import task_received, task_success
from kombu.transport.redis import QoS

from config.names import JOBS_QUEUE
from tests.celery_events import note
from worker.broker.redis.channel import LeasingChannel
from worker.broker.redis.transport import register
from worker.broker.topology import jobs_queue

# The fifth message, so that there are others before and after it.
CRASHING_CALL = 5
CALLS = count(1)

register()
app = Celery("redis_worker", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "lease_seconds": float(os.environ.get("LEASE_SECONDS", "10")),
        "health_check_interval": 1,
    },
    task_acks_late=True,
    task_default_queue=JOBS_QUEUE,
    task_ignore_result=True,
    task_queues=[jobs_queue()],
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_enable_prefetch_count_reduction=False,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH", "1")),
)


@app.task(name="job", bind=True)
def job(self: Any, number: int, seconds: float) -> None:
    """Note the start, take so long, note the end."""
    note("start", number, "again" if self.request.delivery_info.get("redelivered") else "first")
    time.sleep(seconds)
    note("end", number)


def crash(*_: object, **__: object) -> None:
    """Die at the fifth call, in the first process to come so far."""
    if next(CALLS) == CRASHING_CALL:
        try:
            Path(os.environ["CRASHED"]).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def before(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method come to `crash` first."""

    def crashing(*args: Any, **kwargs: Any) -> Any:
        crash()
        return method(*args, **kwargs)

    return crashing


match os.environ.get("CRASH_AT"):
    case "taken":
        # The server has handed the message out, and this process knows nothing of it yet.
        LeasingChannel._hold = before(LeasingChannel._hold)  # type: ignore[method-assign] # to die there
        QoS.append = before(QoS.append)  # type: ignore[method-assign] # as above, for kombu's own
    case "received":
        task_received.connect(crash, weak=False)
    case "done":
        task_success.connect(crash, weak=False)
