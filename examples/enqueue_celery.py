"""Enqueue a job from any Celery application, without importing Overture.

    OVERTURE_BROKER_URL=amqp://guest:guest@localhost/%2F python examples/enqueue_celery.py

There is no Celery result to wait for. The job's outcome is a message on `conversations.results` or
`conversations.dead-letters`.
"""

from __future__ import annotations

import os
import uuid

from celery import Celery

app = Celery(broker=os.environ["OVERTURE_BROKER_URL"])
# Raise an error here, not later, if the broker has not stored the job.
app.conf.broker_transport_options = {"confirm_publish": True}

job = {
    "jobId": f"order-{uuid.uuid4()}",  # the same id again means the same conversation
    "consumerId": str(uuid.uuid4()),  # always the same for one person, and not guessable
    "conversation": {"skillId": "4711"},
    "metadata": {"firstMessage": "Your order is on its way."},
}
app.send_task(
    "conversations.create",
    args=[job],
    queue="conversations.jobs",
    declare=[],  # else Celery declares the queue with its own defaults, which RabbitMQ refuses
    mandatory=True,  # a missing queue is an error, not a lost job
)
print(job["jobId"])
