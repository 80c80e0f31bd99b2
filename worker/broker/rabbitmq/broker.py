"""RabbitMQ: AMQP 0-9-1 with confirms, quorum queues, and Celery's delayed queues."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from config.names import JOBS_EXCHANGE_NAME
from config.urls import for_kombu, public_url, said
from tasks.messages.intake import Received
from worker.broker.base import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    Broker,
    QueueDepth,
    connect_at_once,
)
from worker.broker.confirms import Blocked, Refusal
from worker.broker.message import received
from worker.broker.rabbitmq.checks import check
from worker.broker.rabbitmq.delivery import DELAY_QUEUES, RabbitDelivery, declare_delays
from worker.broker.rabbitmq.nodes import NEXT_SECONDS, NODES, alternatives
from worker.broker.rabbitmq.producer import PROBE_SECONDS, RabbitProducer, probe, refusal_of
from worker.broker.rabbitmq.transport import WAITS_FOR_A_READER, own_url, register
from worker.finding import Finding


class RabbitBroker(Broker):
    """RabbitMQ, at a URL or at alternatives (`a;b`)."""

    delivery = RabbitDelivery
    looks_only = False
    acks_multiple = True
    system = "rabbitmq"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        register()

    @property
    def consuming_url(self) -> str:
        """The URL for our own transport; alternatives that answered come first."""
        return own_url(NODES.ordered(for_kombu(self.url)))

    @property
    def connect_seconds(self) -> float:
        """The timeout of connecting to one node; shorter if there are others to try."""
        return NODES.seconds(self.url, longest=CONNECT_SECONDS)

    def transport_options(self, *, answer_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Return py-amqp's options."""
        return {"read_timeout": answer_seconds, "write_timeout": answer_seconds}

    def connection(
        self, *, heartbeat: float = 0, answer_seconds: float = ANSWER_SECONDS
    ) -> Connection:
        """Return a connection that survives an alarm."""
        options = self.transport_options(answer_seconds=answer_seconds)
        # During an alarm RabbitMQ reads nothing, and the kernel would time the connection out.
        options["socket_settings"] = WAITS_FOR_A_READER
        return Connection(
            self.consuming_url,
            connect_timeout=self.connect_seconds,
            heartbeat=heartbeat,
            transport_options=options,
        )

    def _declare_delays(self, connection: Connection, queues: Sequence[Queue]) -> None:
        declare_delays(connection, queues)

    def producer(
        self, connection: Connection, *, while_stuck: Callable[[], object] | None = None
    ) -> RabbitProducer:
        """Return a producer that uses publisher confirms."""
        return RabbitProducer(connection, while_stuck=while_stuck)

    def refusal_of(self, error: BaseException) -> Refusal | None:
        """Return the refusal that AMQP's reply code means."""
        return refusal_of(error)

    def depths(self, queues: Sequence[str]) -> tuple[list[QueueDepth], int]:
        """Count the ready messages; the delayed queues are common to all jobs queues."""
        with self.connection() as connection:
            connect_at_once(connection)
            ready = list(_count(connection, [*queues, *DELAY_QUEUES]))
        found = [
            QueueDepth(name=name, ready=count, delayed=None, unacked=None)
            for name, count in zip(queues, ready, strict=False)
        ]
        return found, sum(ready[len(queues) :])

    def look(self, queue: str) -> Generator[Received]:
        """Take the messages, yield them, and hand them back at the end: AMQP has no read-only look.

        A quorum queue puts them back at its front, not always in their order.
        """
        with self.taking(queue) as taker:
            for message in iter(taker.take, None):
                yield received(message)

    def silent(self) -> Iterator[tuple[str, str]]:
        """Try to connect to each node."""
        urls = alternatives(for_kombu(self.url))
        for url in urls if len(urls) > 1 else ():
            connection = Connection(own_url(url), connect_timeout=NEXT_SECONDS)
            errors: Any = (*connection.connection_errors, OperationalError)
            try:
                connect_at_once(connection)
            except errors as error:
                yield public_url(url), said(error, url)
            finally:
                connection.collect()

    def demand_writable(self) -> None:
        """Raise Blocked during an alarm."""
        if found := self._alarm():
            raise Blocked(found)

    def missing_rights(self) -> None:
        """Return None: RabbitMQ shows a missing right only when it is used."""

    def check(self, connection: Connection, job_queues: Sequence[str]) -> Iterator[Finding]:
        """Check for alarms, declare, and try each right that a worker needs."""
        yield from check(self, connection, job_queues, alarm=self._alarm())

    def _alarm(self) -> str:
        """Return RabbitMQ's alarm, such as "memory alarm", or an empty text.

        During an alarm, the connection of each call stays in RabbitMQ's list.
        """
        connection = self.connection(answer_seconds=PROBE_SECONDS)
        connect_at_once(connection)
        try:
            return probe(connection, JOBS_EXCHANGE_NAME)[0]
        finally:
            # A handshake would wait for a broker that reads nothing.
            connection.collect()


def _count(connection: Connection, queues: Sequence[str]) -> Iterator[int]:
    """Count the ready messages of each queue, over one channel: RabbitMQ pays more for many."""
    channel: Any = connection.channel()
    for queue in queues:
        try:
            yield int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:  # there is no such queue, and the channel is closed
            channel = connection.channel()
            yield 0
