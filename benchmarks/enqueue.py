"""Enqueueing jobs for a benchmark: bare JSON, in batches that the broker confirms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from config.names import JOBS_EXCHANGE_NAME, JOBS_QUEUE
from tasks.messages.outgoing import Outgoing
from worker.broker.brokers import broker_at

BATCH = 500


def enqueue(url: str, jobs: Iterable[Mapping[str, Any]]) -> None:
    """Put jobs on the queue, which is declared first."""
    messages = (
        Outgoing(
            exchange=JOBS_EXCHANGE_NAME,
            routing_key=JOBS_QUEUE,
            body=json.dumps(job).encode(),
            message_id=str(job["jobId"]),
        )
        for job in jobs
    )
    broker = broker_at(url)
    with broker.connection() as connection:
        broker.declare(connection, [JOBS_QUEUE])
        producer = broker.producer(connection)
        while batch := list(islice(messages, BATCH)):
            producer.publish(batch)
