"""What `overture check` tries on a Redis or Valkey broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from kombu import Connection, Queue

from config.names import JOBS_QUEUE
from config.urls import said
from tasks.messages.outgoing import Outgoing
from tasks.store.replies import advice
from worker.broker.base import Broker
from worker.broker.confirms import NotConfirmed
from worker.finding import Finding


def check(broker: Broker, connection: Connection, job_queues: Sequence[str]) -> Iterator[Finding]:
    """Declare what a worker declares, and send and take a message on a queue of its own."""
    errors: tuple[type[BaseException], ...] = (
        *connection.connection_errors,
        *connection.channel_errors,
        NotConfirmed,
    )
    try:
        broker.declare(connection, job_queues)
        yield Finding("works", "queues", "are declared")
    except errors as error:
        yield Finding("fails", "queues", f"are refused: {said(error, broker.url)}; {_todo(error)}")
    try:
        _echo(broker, connection)
        yield Finding("works", "message", "a test message came back")
    except errors as error:
        yield Finding("fails", "message", f"is refused: {said(error, broker.url)}; {_todo(error)}")


def _todo(error: BaseException) -> str:
    return advice(error, "the user needs to write and to read the keys that operations.md lists")


def _echo(broker: Broker, connection: Connection) -> None:
    """Send a message to a new queue that nobody else uses, and take it again."""
    name = f"{JOBS_QUEUE}.check-{uuid.uuid4()}"
    channel: Any = connection.channel()
    queue = Queue(name, durable=False, exclusive=True, auto_delete=True).bind(channel)
    queue.queue_declare()
    try:
        message = Outgoing(exchange="", routing_key=name, body=b"{}", message_id=name)
        broker.producer(connection).publish([message])
        if queue.get(no_ack=True) is None:
            raise NotConfirmed("it was confirmed but is not there")
    finally:
        queue.delete()
