"""Redis and Valkey: kombu's lists, with takes, leases and delays by our scripts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

from kombu import Connection, Message, Queue
from redis import Redis
from redis.exceptions import RedisError

from config.redis_urls import sentinels_of
from config.urls import for_kombu
from tasks.messages.intake import Received
from tasks.store.connection import ANSWER_SECONDS as STORE_ANSWER_SECONDS
from tasks.store.connection import connect
from tasks.store.rights import missing_rights
from tasks.store.sentinels import silent_sentinels
from worker.broker import compression
from worker.broker.base import ANSWER_SECONDS, CONNECT_SECONDS, Broker, QueueDepth
from worker.broker.message import COMMAND_BYTES, received
from worker.broker.redis.checks import check
from worker.broker.redis.delivery import RedisDelivery
from worker.broker.redis.envelope import read_envelope
from worker.broker.redis.layout import Layout, queue_depths, unwrapped
from worker.broker.redis.primary import SENTINELS_OPTION
from worker.broker.redis.producer import RedisProducer
from worker.broker.redis.rights import BROKER_RIGHTS, BROKER_WRITE
from worker.broker.redis.transport import producer_url, register, worker_url
from worker.finding import Finding

# Limits of one read of a list: so many messages, or fewer if they are large.
PAGE_MESSAGES: Final = 200
PAGE_BYTES: Final = 16 * 1024 * 1024


class RedisBroker(Broker):
    """A Redis or Valkey server, or the master that Sentinels name."""

    delivery = RedisDelivery
    looks_only = True
    acks_multiple = False
    system = "redis"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        register()
        self._sentinels = sentinels_of(url)

    @property
    def consuming_url(self) -> str:
        """The URL for our own transport; producers use kombu's."""
        return worker_url(self._sentinels.server_url if self._sentinels else self.url)

    def transport_options(self, *, answer_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Return redis-py's options.

        The timeout is no longer than a store's, because leases last ten seconds.
        """
        behind = {SENTINELS_OPTION: self._sentinels} if self._sentinels else {}
        return {
            **behind,
            "socket_timeout": min(answer_seconds, STORE_ANSWER_SECONDS),
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_keepalive": True,
        }

    def connection(
        self, *, heartbeat: float = 0, answer_seconds: float = ANSWER_SECONDS
    ) -> Connection:
        """Return a connection of kombu's own, or ours for Sentinels; Redis has no heartbeats."""
        url = producer_url(self._sentinels.server_url) if self._sentinels else for_kombu(self.url)
        return Connection(
            url,
            connect_timeout=CONNECT_SECONDS,
            heartbeat=heartbeat,
            transport_options=self.transport_options(answer_seconds=answer_seconds),
        )

    def _declare_delays(self, connection: Connection, queues: Sequence[Queue]) -> None:
        """Declare nothing: the scripts create a queue's sorted set with its first delay."""

    def producer(
        self, connection: Connection, *, while_stuck: Callable[[], object] | None = None
    ) -> RedisProducer:
        """Return a producer that writes many messages in one command; Redis is never stuck."""
        del while_stuck
        return RedisProducer(connection)

    def refusal_of(self, error: BaseException) -> None:
        """Return None: Redis never ends a connection because of a message."""

    def depths(self, queues: Sequence[str]) -> tuple[list[QueueDepth], int]:
        """Count all messages in one round trip."""
        with self._client() as client:
            depths = queue_depths(client, queues)
        found = [
            QueueDepth(name=name, ready=one.ready, delayed=one.delayed, unacked=one.unacked)
            for name, one in depths.items()
        ]
        return found, sum(one.delayed for one in depths.values())

    def look(self, queue: str) -> Generator[Received]:
        """Read the queue's lists, without taking anything."""
        compression.bound(COMMAND_BYTES)
        layout = Layout()
        with self._client() as client:
            for step in layout.steps:
                for payload in _taken_order(client, layout.list_of(queue, step)):
                    yield _seen(payload)

    def silent(self) -> Iterator[tuple[str, str]]:
        """Ask each Sentinel."""
        return silent_sentinels(self.url)

    def demand_writable(self) -> None:
        """Raise RedisError if the server refuses writes, as one does that is out of memory."""
        with self._client() as client:
            try:
                client.ping()
            except RedisError:
                return  # a server that does not answer is for the command itself to report
            missing_rights(client, BROKER_WRITE)

    def missing_rights(self) -> tuple[str, ...]:
        """Try every command that a worker sends to its broker."""
        with self._client() as client:
            client.ping()
            return missing_rights(client, BROKER_RIGHTS)

    def check(self, connection: Connection, job_queues: Sequence[str]) -> Iterator[Finding]:
        """Declare, and send and take a test message."""
        return check(self, connection, job_queues)

    def _client(self) -> closing[Redis]:
        return closing(connect(self.url, connections=1))


def _taken_order(client: Redis, name: str) -> Iterator[bytes]:
    """Yield the messages of a list in the order in which they would be taken, page by page."""
    last, most = -1, 1
    while page := _page(client, name, last, most):
        yield from reversed(page)
        last -= len(page)
        mean = sum(map(len, page)) // len(page)
        most = min(2 * most, PAGE_MESSAGES, max(1, PAGE_BYTES // max(1, mean)))


def _page(client: Redis, name: str, last: int, most: int) -> list[bytes]:
    page: Any = client.lrange(name, last - most + 1, last)
    return list(page)


def _seen(payload: bytes) -> Received:
    message = read_envelope(unwrapped(payload), lease="", queue="", deliveries=0)
    return received(
        Message(
            body=message["body"],
            content_type=message["content-type"],
            content_encoding=message["content-encoding"],
            headers=message["headers"],
            properties=message["properties"],
        )
    )
