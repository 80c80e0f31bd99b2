"""The Celery application: every setting that keeps a message from being lost, with its reason.

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
# Variables of other Celery applications, which Celery puts before what is configured here: a worker
# would consume from another broker than the one that was checked, or fail for want of a library.
CELERYS_OWN: Final = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_LOADER",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a worker works with: settings, and the servers that they name."""

    settings: Settings
    broker: Broker
    store_url: str = field(repr=False)


class WorkerApp(Celery):
    """Celery's application, which is told its servers when its worker starts."""

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
    """Name the jobs queues that a worker consumes which is told no other ones."""
    return (JOBS_QUEUE, *map(account_queue, settings.accounts))


def create_app() -> WorkerApp:
    """Make the application; it has no broker yet."""
    # Named here, a loader is not taken from the environment.
    app = WorkerApp("overture", set_as_current=False, loader="celery.loaders.app:AppLoader")
    app.conf.update(
        # Until a worker starts. Celery's own would be a RabbitMQ on this machine, whose jobs
        # `celery purge` deletes.
        broker_url="memory://",
        broker_connection_timeout=CONNECT_SECONDS,
        broker_heartbeat=HEARTBEAT_SECONDS,
        # A broker that is away comes back: a worker that gave up would have to be started by hand.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # So does a right that was taken away, or a queue.
        broker_channel_error_retry=True,
        task_default_queue=JOBS_QUEUE,
        task_create_missing_queues=False,
        task_ignore_result=True,
        accept_content=["json"],
        worker_pool="worker.pool:TaskPool",
        worker_consumer="worker.consumer:JobConsumer",
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
    app.steps["worker"].update({"worker.steps:Pipeline", "worker.steps:Supervision"})
    return app


app: Final = create_app()


@signals.celeryd_init.connect
def _begin(instance: Any, options: Mapping[str, Any], **_: object) -> None:
    """Reach the servers before anything else; Celery sends this first when a worker starts."""
    if isinstance(instance.app, WorkerApp):
        from worker.starting import begin  # noqa: PLC0415 - what else imports this starts no worker

        begin(instance.app, options)


@signals.worker_init.connect
def _fit_in(sender: Any, **_: object) -> None:
    """Have no more threads than the system allows, once it is known how many are wanted."""
    if isinstance(sender.app, WorkerApp):
        from worker.starting import fit_in  # noqa: PLC0415 - likewise

        fit_in(sender)
