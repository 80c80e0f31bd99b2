"""Enqueues a job from any Celery application; nothing of Overture is imported.

    OVERTURE_BROKER_URL=amqp://guest:guest@localhost/%2F python examples/enqueue_celery.py

There is no Celery result to wait for: what came of the job is a message on `conversations.results`
or `conversations.dead-letters`.
"""

from __future__ import annotations

import os
import uuid

from celery import Celery

app = Celery(broker=os.environ["OVERTURE_BROKER_URL"])
# A job that the broker has not stored is an error here, and not one that is found out later.
app.conf.broker_transport_options = {"confirm_publish": True}

job = {
    "jobId": f"order-{uuid.uuid4()}",  # the same id again is the same conversation
    "consumerId": str(uuid.uuid4()),  # the same for the same person, and not to be guessed
    "conversation": {"skillId": "4711"},
    "metadata": {"firstMessage": "Your order is on its way."},
}
app.send_task(
    "conversations.create",
    args=[job],
    queue="conversations.jobs",
    declare=[],  # else Celery declares the queue with its own defaults, and RabbitMQ refuses
    mandatory=True,  # a queue that does not exist is an error, not a lost job
)
print(job["jobId"])
