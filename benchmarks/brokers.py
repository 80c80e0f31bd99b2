"""The servers of a benchmark, private to it: a broker to measure, and the store beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kombu import Connection
from redis import Redis

from benchmarks.machine import cpu_seconds, members
from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE
from tests.rabbit_server import RabbitServer
from tests.redis_server import RedisServer
from worker.broker.brokers import broker_at

PLAIN_QUEUES = (
    "jobs",
    "jobs.DQ",
    "jobs.XQ",
    "results",
    "taskiq",
    "taskiq.delay",
    "taskiq.dead_letter",
)


@dataclass(frozen=True, slots=True)
class Servers:
    """A broker and a store; on Valkey two servers, so that each one's cost is its own."""

    broker: RabbitServer | RedisServer
    store: RedisServer

    def clean(self) -> None:
        """Remove everything that an earlier run left, and declare our own queues."""
        self.store.client().flushall()
        if isinstance(self.broker, RedisServer):
            self.broker.client().flushall()
        else:
            with Connection(self.broker.url) as connection:
                for name in (*PLAIN_QUEUES, JOBS_QUEUE, RESULTS_QUEUE, DEAD_LETTERS_QUEUE):
                    cast("Any", connection.default_channel).queue_delete(name)
        broker = broker_at(self.broker.url)
        with broker.connection() as connection:
            broker.declare(connection, [JOBS_QUEUE])

    def broker_cpu(self) -> float:
        """Return the broker's processor time, in seconds."""
        return _cpu(self.broker)

    def store_cpu(self) -> float:
        """Return the store's processor time, in seconds."""
        return _cpu(self.store)


class Depth:
    """How many messages a queue holds, asked often."""

    def __init__(self, servers: Servers, queue: str) -> None:
        self._queue = queue
        self._redis: Redis | None = None
        if isinstance(servers.broker, RedisServer):
            self._redis = servers.broker.client()
        else:
            self._connection = Connection(servers.broker.url)
            self._channel: Any = self._connection.channel()

    def __call__(self) -> int:
        if self._redis is not None:
            return int(str(self._redis.llen(self._queue)))
        try:
            declared = self._channel.queue_declare(self._queue, passive=True)
        except self._connection.channel_errors:  # it is not declared yet, and the channel is closed
            self._channel = self._connection.channel()
            return 0
        return int(declared.message_count)

    def close(self) -> None:
        if self._redis is None:
            self._connection.release()


@contextmanager
def servers(name: str) -> Iterator[Servers]:
    """Run a broker, `rabbitmq` or `valkey`, and a store."""
    with ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        store = RedisServer(folder()).start()
        stack.callback(store.stop)
        queue: RabbitServer | RedisServer
        queue = (RabbitServer if name == "rabbitmq" else RedisServer)(folder())
        queue.start()
        stack.callback(queue.stop)
        yield Servers(queue, store)


def _cpu(server: RabbitServer | RedisServer) -> float:
    process = server._process
    assert process is not None
    # RabbitMQ's start script leads a session of its own; Valkey is one process.
    own_session = isinstance(server, RabbitServer)
    return cpu_seconds(members(process.pid) if own_session else [process.pid])
