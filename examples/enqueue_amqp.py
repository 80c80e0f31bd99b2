"""Enqueue a job with a plain AMQP client, without Celery. The message is the job as JSON.

    OVERTURE_BROKER_URL=amqp://guest:guest@localhost/%2F python examples/enqueue_amqp.py

The client is pika (`pip install pika`). A client in any other language does the same three things:
it publishes a persistent message, as `mandatory`, on a channel with publisher confirms.
"""

from __future__ import annotations

import json
import os
import uuid

import pika

job = {
    "jobId": f"order-{uuid.uuid4()}",  # the same id again means the same conversation
    "consumerId": str(uuid.uuid4()),  # always the same for one person, and not guessable
    "priority": 5,
    "metadata": {"firstMessage": "Your order is on its way."},
}
broker = pika.URLParameters(os.environ["OVERTURE_BROKER_URL"])
broker.virtual_host = (
    broker.virtual_host or "/"
)  # Celery's way to write it is a URL that ends in //
connection = pika.BlockingConnection(broker)
channel = connection.channel()
channel.confirm_delivery()  # from now on, publishing returns once the broker has the message
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
    mandatory=True,  # a missing queue is an error, not a lost job
)
connection.close()
print(job["jobId"])
