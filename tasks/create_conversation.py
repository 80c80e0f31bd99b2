"""`conversations.create`: opens one conversation."""

from __future__ import annotations

from celery import shared_task

from config.queues import TASK_NAME
from worker import runtime
from worker.messages.receive import Work
from worker.messaging.delivery import Delivery


@shared_task(name=TASK_NAME, ignore_result=True)
def create_conversation(work: Work, delivery: Delivery) -> None:
    """Take one job to its outcome.

    Producers send the job itself as the only argument; the worker hands it on as it has read it.
    """
    runtime.current().pipeline.run(work, delivery)
