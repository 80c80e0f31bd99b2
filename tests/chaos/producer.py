"""Putting jobs on the queue as producers do: bare JSON from any client, or Celery's `send_task`."""

from __future__ import annotations

import json
from collections.abc import Iterable

from celery import Celery

from config.names import JOBS_EXCHANGE_NAME, JOBS_QUEUE, TASK_NAME
from tests.chaos.submissions import Submission


def submit(url: str, submissions: Iterable[Submission]) -> None:
    """Put messages on the jobs queue; on RabbitMQ each of them is confirmed."""
    options = {"confirm_publish": True} if url.startswith("amqp") else {}
    app = Celery("producer", broker=url, set_as_current=False)
    app.conf.update(broker_transport_options=options, task_create_missing_queues=True)
    with app.connection_for_write() as connection, connection.Producer() as producer:
        for one in submissions:
            if one.style == "celery":
                app.send_task(
                    TASK_NAME,
                    args=[one.document],
                    queue=JOBS_QUEUE,
                    exchange=JOBS_EXCHANGE_NAME,
                    routing_key=JOBS_QUEUE,
                    declare=[],
                    mandatory=True,
                    producer=producer,
                )
                continue
            body = one.body
            if one.style == "protocol 1":
                task = {"task": TASK_NAME, "id": one.job_id, "args": [one.document]}
                body = json.dumps(task).encode()
            producer.publish(
                body,
                exchange=JOBS_EXCHANGE_NAME,
                routing_key=JOBS_QUEUE,
                content_type=one.content_type,
                content_encoding=one.content_encoding,
                headers=one.headers or {},
                delivery_mode=2,
                mandatory=True,
            )
    app.close()
