"""Enqueues a job with a plain AMQP client: the message is the job, in JSON. No Celery is involved.

    OVERTURE_BROKER_URL=amqp://guest:guest@localhost/%2F python examples/enqueue_amqp.py

The client is pika (`pip install pika`); one for any other language does the same three things: a
persistent message, with `mandatory`, on a channel with publisher confirms.
"""

from __future__ import annotations

import json
import os
import uuid

import pika

job = {
    "jobId": f"order-{uuid.uuid4()}",  # the same id again is the same conversation
    "consumerId": str(uuid.uuid4()),  # the same for the same person, and not to be guessed
    "priority": 5,
    "metadata": {"firstMessage": "Your order is on its way."},
}
connection = pika.BlockingConnection(pika.URLParameters(os.environ["OVERTURE_BROKER_URL"]))
channel = connection.channel()
channel.confirm_delivery()  # from here on, publishing returns once the broker has the message
channel.basic_publish(
    exchange="",
    routing_key="conversations.jobs",
    body=json.dumps(job).encode(),
    properties=pika.BasicProperties(
        content_type="application/json",
        delivery_mode=pika.DeliveryMode.Persistent,
        priority=job["priority"],
        message_id=job["jobId"],
    ),
    mandatory=True,  # a queue that does not exist is an error, not a lost job
)
connection.close()
print(job["jobId"])
