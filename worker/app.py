"""The Celery application: every setting that keeps a message from being lost, with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

from celery import Celery, Task

from config.names import JOBS_QUEUE
from worker.broker.base import CONNECT_SECONDS, Broker
from worker.broker.topology import jobs_queue

HEARTBEAT_SECONDS: Final = 20
# Variables of other Celery applications, which Celery puts before what is configured here: a worker
# would consume from another broker than the one that was checked, or fail for want of a library.
CELERYS_OWN: Final = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_LOADER",
)


def create_app(
    broker: Broker, *tasks: Task[Any, Any], queues: Iterable[str] = (JOBS_QUEUE,)
) -> Celery:
    """Make the application of a worker that runs these tasks, and consumes these jobs queues."""
    for name in CELERYS_OWN:
        os.environ.pop(name, None)
    app = Celery("overture", set_as_current=True)
    app.conf.update(
        broker_url=broker.consuming_url,
        broker_transport_options=broker.transport_options(),
        broker_connection_timeout=CONNECT_SECONDS,
        broker_heartbeat=HEARTBEAT_SECONDS,
        # A broker that is away comes back: a worker that gave up would have to be started by hand.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # So does a right that was taken away, or a queue.
        broker_channel_error_retry=True,
        task_queues=[jobs_queue(name) for name in queues],
        task_default_queue=JOBS_QUEUE,
        task_create_missing_queues=False,
        task_ignore_result=True,
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        # Restored from a pool's thread after a reconnect, the count stalls the worker for good.
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Both need fanout queues and a connection of their own, and neither sees our deliveries.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        # Our own lines are the log; Celery would replace the root logger's handlers.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    for task in tasks:
        app.register_task(task)
    return app
