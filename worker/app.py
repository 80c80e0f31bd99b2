"""The Celery application, with the reason for each setting that keeps messages from being lost.

`overture worker` and `celery -A worker.app worker` start the same worker from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery, signals

from config.names import JOBS_QUEUE, account_queue
from config.settings import Settings
from worker.broker.base import CONNECT_SECONDS, Broker
from worker.broker.topology import jobs_queue

HEARTBEAT_SECONDS: Final = 20
# Celery prefers these variables, of other applications, to what is configured here: a worker would
# consume from a broker that was never checked, or need a library that is not installed.
CELERYS_OWN: Final = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_LOADER",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A worker's settings, and the servers that they name."""

    settings: Settings
    broker: Broker
    store_url: str = field(repr=False)


class WorkerApp(Celery):
    """Celery's application; it learns its servers when the worker starts."""

    setup: Setup | None = None

    def use(self, setup: Setup) -> None:
        """Consume from the broker of this setup."""
        # Celery's own variables are another application's.
        for name in CELERYS_OWN:
            os.environ.pop(name, None)
        self.setup = setup
        self.conf.update(
            broker_url=setup.broker.consuming_url,
            broker_transport_options=setup.broker.transport_options(),
            task_queues=[jobs_queue(name) for name in queues_of(setup.settings)],
            worker_concurrency=setup.settings.concurrency,
        )


def queues_of(settings: Settings) -> tuple[str, ...]:
    """Return the jobs queues that a worker consumes unless others are named."""
    return (JOBS_QUEUE, *map(account_queue, settings.accounts))


def create_app() -> WorkerApp:
    """Create the application; it has no broker yet."""
    # The loader is named so that it does not come from the environment.
    app = WorkerApp("overture", set_as_current=False, loader="celery.loaders.app:AppLoader")
    app.conf.update(
        # Until a worker starts. Celery's default is a RabbitMQ on this machine, whose jobs
        # `celery purge` would delete.
        broker_url="memory://",
        broker_connection_timeout=CONNECT_SECONDS,
        broker_heartbeat=HEARTBEAT_SECONDS,
        # A broker that is away comes back, and then nobody should have to restart workers by hand.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # The same for a right that was taken away, or a deleted queue.
        broker_channel_error_retry=True,
        task_default_queue=JOBS_QUEUE,
        task_create_missing_queues=False,
        task_ignore_result=True,
        accept_content=["json"],
        worker_pool="worker.pool:TaskPool",
        worker_consumer="worker.consumer:JobConsumer",
        worker_prefetch_multiplier=1,
        # Celery restores the count from a pool's thread, which stalls the worker for good.
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Both need fanout queues and a connection of their own, and neither sees our deliveries.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        # Celery would replace the root logger's handlers, which are ours.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    app.steps["worker"].update({"worker.steps:Pipeline", "worker.steps:Supervision"})
    return app


app: Final = create_app()


@signals.celeryd_init.connect
def _begin(instance: Any, options: Mapping[str, Any], **_: object) -> None:
    """Connect to the servers before anything else; Celery sends this first when a worker starts."""
    if isinstance(instance.app, WorkerApp):
        from worker.starting import begin  # noqa: PLC0415 - most importers start no worker

        begin(instance.app, options)


@signals.worker_init.connect
def _fit_in(sender: Any, **_: object) -> None:
    """Reduce the threads to what the system allows; their number is known by now."""
    if isinstance(sender.app, WorkerApp):
        from worker.starting import fit_in  # noqa: PLC0415 - likewise

        fit_in(sender)
