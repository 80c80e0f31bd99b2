"""Enqueue a job in the same transaction as what it is about: an outbox in PostgreSQL.

Your application calls `put` on its own connection, between its own statements. If it commits, the
job will be enqueued; if it does not, it never existed. `relay`, as a process of its own, moves jobs
from the table to the broker. Any number of them can run: each locks the rows that it takes, and the
others pass over these. A row is deleted once the broker has its job. If a relay dies before that,
the job is enqueued again, which its jobId makes harmless.

    OUTBOX_URL=postgresql:///shop OVERTURE_BROKER_URL=amqp://… python outbox.py

Copy this file and overture_producer.py, beside it. The client is psycopg (`pip install psycopg`).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import psycopg
from celery import Celery
from overture_producer import CeleryProducer, Job, NotEnqueued, PikaProducer, Producer
from psycopg.types.json import Jsonb

SCHEMA = """
CREATE TABLE IF NOT EXISTS overture_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job jsonb NOT NULL
)
"""
TAKE = "SELECT id, job FROM overture_outbox ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
BATCH = 500  # rows of one transaction
IDLE_SECONDS = 1.0  # between two looks at a table that was empty
PAUSE_SECONDS = 5.0  # after a failure of the broker or of the database


def put(connection: psycopg.Connection[Any], job: Job) -> None:
    """Write a job into the outbox, as part of the caller's transaction."""
    connection.execute("INSERT INTO overture_outbox (job) VALUES (%s)", [Jsonb(job)])


def move(connection: psycopg.Connection[Any], producer: Producer) -> int:
    """Enqueue the oldest jobs that nobody else has in hand; returns how many there were.

    Raises NotEnqueued; then all of them are still in the table.
    """
    with connection.transaction():
        rows = connection.execute(TAKE, [BATCH]).fetchall()
        if rows:
            producer.enqueue_many(job for _, job in rows)
            done = [number for number, _ in rows]
            connection.execute("DELETE FROM overture_outbox WHERE id = ANY(%s)", [done])
    return len(rows)


def relay(database: str, producer: Producer) -> None:
    """Move jobs for ever, whatever fails in between."""
    while True:
        try:
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(SCHEMA)
                while True:
                    if not move(connection, producer):
                        time.sleep(IDLE_SECONDS)
        except (psycopg.OperationalError, NotEnqueued) as error:
            print(f"not moved: {error}", file=sys.stderr)
            time.sleep(PAUSE_SECONDS)


def main() -> None:
    """Run a relay until a signal ends it; what it has in hand then is rolled back."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    url = os.environ["OVERTURE_BROKER_URL"]
    is_amqp = url.startswith("amqp")
    producer = PikaProducer(url) if is_amqp else CeleryProducer(Celery(broker=url))
    relay(os.environ["OUTBOX_URL"], producer)


if __name__ == "__main__":
    main()
