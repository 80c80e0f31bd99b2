"""The other side of the broker, for tests: a producer, and a reader of what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from celery import Celery
from kombu import Message

from config.names import (
    DEAD_LETTERS_QUEUE,
    EXCHANGE_NAME,
    JOBS_EXCHANGE_NAME,
    JOBS_QUEUE,
    RESULTS_QUEUE,
    TASK_NAME,
)
from tasks.messages.call import as_call, read_outcome
from tasks.messages.outgoing import Outgoing
from tests.waiting import wait_until
from worker.broker.brokers import broker_at
from worker.broker.message import body_of


@dataclass
class Out:
    """What came out so far, with repeats: bodies, and the headers of each message id.

    RabbitMQ's own headers are none of the message's.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def by_job(self) -> dict[str, dict[str, Any]]:
        """Return the last message of each job."""
        letters = {
            letter["job"]["jobId"]: letter for letter in self.dead_letters if "job" in letter
        }
        return {**letters, **{result["jobId"]: result for result in self.results}}

    def codes(self) -> dict[str, str]:
        """Return each dead job's error code."""
        return {
            letter["job"]["jobId"]: letter["error"]["code"]
            for letter in self.dead_letters
            if "job" in letter
        }


class BrokerClient:
    """Enqueues in every way that is documented, and takes what comes out."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.out = Out()

    def __enter__(self) -> Self:
        self._broker = broker_at(self.url)
        self._connection = self._broker.connection()
        self._broker.declare(self._connection, [JOBS_QUEUE])
        self._channel: Any = self._connection.channel()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.release()

    def put(self, documents: Iterable[dict[str, Any]]) -> None:
        """Enqueue bare jobs, confirmed."""
        self.put_raw([json.dumps(document).encode() for document in documents])

    def put_raw(self, bodies: Iterable[bytes], **properties: Any) -> None:
        """Enqueue whatever bytes these are, confirmed."""
        messages = [
            Outgoing(
                exchange=JOBS_EXCHANGE_NAME,
                routing_key=JOBS_QUEUE,
                body=body,
                message_id=f"message-{number}",
                **properties,
            )
            for number, body in enumerate(bodies)
        ]
        self._broker.producer(self._connection).publish(messages)

    def send_task(self, document: object, **options: Any) -> None:
        """Enqueue as the contract tells a Celery producer that has none of our code."""
        with Celery(broker=self.url, set_as_current=False) as app:
            app.conf.broker_transport_options = {"confirm_publish": True}
            app.send_task(
                TASK_NAME,
                args=[document],
                queue=JOBS_QUEUE,
                declare=[],
                mandatory=True,
                **options,
            )

    def wait_for(self, count: int, *, seconds: float = 30) -> Out:
        """Take what comes out until so many different jobs have an outcome."""
        wait_until(lambda: len(self.take().by_job()) >= count, f"{count} outcomes", seconds=seconds)
        return self.out

    def wait_until(self, holds: Callable[[Out], object], what: str, *, seconds: float = 30) -> Out:
        """Take what comes out until something holds."""
        wait_until(lambda: holds(self.take()), what, seconds=seconds)
        return self.out

    def take(self) -> Out:
        """Take what has come out by now."""
        for queue, into in (
            (RESULTS_QUEUE, self.out.results),
            (DEAD_LETTERS_QUEUE, self.out.dead_letters),
        ):
            while (message := self._get(queue)) is not None:
                document: Any = read_outcome(body_of(message))
                into.append(document)
                message_id = str(message.properties.get("message_id"))
                headers = {k: v for k, v in message.headers.items() if not k.startswith("x-")}
                self.out.headers.setdefault(message_id, []).append(headers)
                message.ack()
        return self.out

    def waiting(self, queue: str = JOBS_QUEUE) -> int:
        """Return how many messages a queue holds."""
        return self._broker.ready(self._connection, queue)

    def _get(self, queue: str) -> Message | None:
        found = self._channel.basic_get(queue)
        return None if found is None else self._channel.message_to_python(found)


def publish(
    url: str, routing_key: str, bodies: Iterable[bytes], *, task: str | None = None
) -> None:
    """Publish outcomes as a worker does, as calls of a task if one is named."""
    messages = [
        Outgoing(exchange=EXCHANGE_NAME, routing_key=routing_key, body=body, message_id="m")
        for body in bodies
    ]
    broker = broker_at(url)
    if task:
        messages = [
            as_call(replace(message, message_id=json.loads(message.body)["jobId"]), task)
            for message in messages
        ]
    with broker.connection() as connection:
        broker.declare(connection, [JOBS_QUEUE])
        broker.producer(connection).publish(messages)
