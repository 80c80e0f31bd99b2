"""Celery and `requests`, tuned by its settings alone, without a ledger, a limit or a log."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import worker_init
from kombu import Queue

from benchmarks.contestants.call import BROKER_URL, ON_RABBITMQ, RESULTS_QUEUE, tokens
from benchmarks.contestants.sessions import post

app = Celery("plain", broker=BROKER_URL)
app.conf.update(
    task_default_queue="jobs",
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    broker_transport_options={"confirm_publish": True} if ON_RABBITMQ else {},
    broker_connection_retry_on_startup=True,
)
RESULTS = Queue(RESULTS_QUEUE, durable=True, routing_key=RESULTS_QUEUE)
headers: dict[str, str] = {}


@worker_init.connect  # type: ignore[untyped-decorator] # Celery's signals have no types
def on_start(**_: Any) -> None:
    headers.update(tokens())
    with app.connection_for_write() as connection:
        RESULTS(connection.default_channel).declare()


@app.task(name="create")
def create(job: dict[str, Any]) -> None:
    made = post(job, headers)
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(made, routing_key=RESULTS_QUEUE, delivery_mode=2)


def enqueue(job: dict[str, Any]) -> None:
    create.apply_async((job,))
