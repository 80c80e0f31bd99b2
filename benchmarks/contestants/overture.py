"""Overture as a foreign producer sees it: the job itself, as JSON, on its queue."""

from __future__ import annotations

import json
from typing import Any

from kombu import Connection, Producer

from benchmarks.contestants.call import BROKER_URL, ON_RABBITMQ

_producer = Producer(Connection(BROKER_URL).channel(), auto_declare=False)


def enqueue(job: dict[str, Any]) -> None:
    _producer.publish(
        json.dumps(job).encode(),
        exchange="conversations.jobs" if ON_RABBITMQ else "",
        routing_key="conversations.jobs",
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2,
    )
