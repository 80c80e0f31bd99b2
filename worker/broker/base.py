"""The interface of a broker: nothing outside this folder asks which one it is.

`worker/broker/brokers.py` chooses it by its URL.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from kombu import Connection, Message, Queue

from tasks.messages.intake import Received
from worker.broker import compression
from worker.broker.confirms import ConfirmedProducer, Refusal
from worker.broker.delivery import Delivery
from worker.broker.message import COMMAND_BYTES
from worker.broker.topology import LenientConnection, Refused, declare_queues, jobs_queue
from worker.finding import Finding

# A broker that does not answer within this many seconds is gone. After a restart RabbitMQ elects
# leaders for its quorum queues first, and declarations wait for them.
CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """How many messages a queue holds; None where this broker has no such count.

    `delayed` are put off, `unacked` are in hand.
    """

    name: str
    ready: int
    delayed: int | None
    unacked: int | None

    @property
    def is_empty(self) -> bool:
        """Whether no message is known to be in it."""
        return not (self.ready or self.delayed or self.unacked)


class Broker(ABC):
    """A broker at a URL, which may hold a password; connects only when a method needs it.

    Every method raises the connection's own errors while the broker is away.
    """

    # The class of this broker's messages in a worker; it can put them off.
    delivery: ClassVar[type[Delivery]]
    # Whether `look` leaves the messages where they are, so that it may be called often.
    looks_only: ClassVar[bool]
    # Whether one acknowledgement can cover all messages before it on its channel.
    acks_multiple: ClassVar[bool]
    # The broker's name in OpenTelemetry's semantic conventions.
    system: ClassVar[str]

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    @abstractmethod
    def consuming_url(self) -> str:
        """The URL under which Celery and kombu consume without losing a message."""

    @abstractmethod
    def transport_options(self, *, answer_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Return options for kombu that give every call a timeout."""

    @abstractmethod
    def connection(
        self, *, heartbeat: float = 0, answer_seconds: float = ANSWER_SECONDS
    ) -> Connection:
        """Return a connection for publishing and declaring; it connects at first use.

        `heartbeat` is the interval of both sides' heartbeats, in seconds, if the protocol has them.
        """

    @property
    def connect_seconds(self) -> float:
        """The timeout of connecting to one server."""
        return CONNECT_SECONDS

    def consuming_connection(self, *, heartbeat: float = 0) -> Connection:
        """Return a connection for taking messages; it connects at first use."""
        return Connection(
            self.consuming_url,
            connect_timeout=self.connect_seconds,
            heartbeat=heartbeat,
            transport_options=self.transport_options(),
        )

    def declare(self, connection: Connection, job_queues: Iterable[str] = ()) -> None:
        """Declare these jobs queues, the results and the dead letters. Idempotent."""
        queues = [jobs_queue(name) for name in job_queues]
        with connection.channel() as channel:
            declare_queues(channel, queues)
        if queues:
            self._declare_delays(connection, queues)

    def declare_each(self, connection: Connection, job_queues: Iterable[str] = ()) -> list[Refused]:
        """Declare all that `declare` does, go on after a refusal, and return the refusals."""
        refused: list[Refused] = []
        lenient = cast("Any", LenientConnection(connection, refused))
        queues = [jobs_queue(name) for name in job_queues]
        declare_queues(lenient.channel(), queues)
        if queues:
            self._declare_delays(lenient, queues)
        return refused

    def declare_if_allowed(self, connection: Connection, job_queues: Iterable[str] = ()) -> None:
        """Declare as `declare` does, and ignore what the user has no right to declare.

        Raises what is refused for another reason.
        """
        for refused in self.declare_each(connection, job_queues):
            if not refused.lacks_right:
                raise refused.error

    @abstractmethod
    def _declare_delays(self, connection: Connection, queues: Sequence[Queue]) -> None:
        """Declare what holds the delayed messages of these jobs queues."""

    @abstractmethod
    def producer(
        self, connection: Connection, *, while_stuck: Callable[[], object] | None = None
    ) -> ConfirmedProducer:
        """Return a producer that publishes over this connection and waits for confirms.

        `while_stuck` is called repeatedly while the broker reads nothing, and may raise; without it
        such a write fails after a timeout.
        """

    @abstractmethod
    def refusal_of(self, error: BaseException) -> Refusal | None:
        """Return why a message ended a connection; None if it ended for another reason."""

    def ready(self, connection: Connection, queue: str) -> int:
        """Count the messages of a queue that nobody has in hand; 0 if the queue does not exist.

        Redis has no empty queues: kombu raises for one as for a queue of RabbitMQ that was never
        declared.
        """
        channel = cast("Any", connection.channel())
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            return 0
        finally:
            channel.close()

    @abstractmethod
    def depths(self, queues: Sequence[str]) -> tuple[list[QueueDepth], int]:
        """Count the messages of each queue, and the delayed ones of all queues together."""

    @abstractmethod
    def look(self, queue: str) -> Generator[Received]:
        """Yield the messages of a queue in the order in which they would be taken now.

        Close the iterator when done with it.
        """

    @contextmanager
    def taking(self, queue: str) -> Iterator[Taker]:
        """Connect and take from a queue; what is still in hand at the end goes back.

        The broker also gets it back if the process is killed.
        """
        compression.bound(COMMAND_BYTES)
        with self.consuming_connection() as connection:
            connect_at_once(connection)
            yield Taker(self, connection, queue)

    @abstractmethod
    def demand_writable(self) -> None:
        """Raise Blocked or RedisError if the broker answers, but accepts no messages now.

        Do not poll it often: on RabbitMQ each call leaves a connection open until an alarm ends.
        """

    def silent(self) -> Iterator[tuple[str, str]]:
        """Yield each of several servers that does not answer, with the reason."""
        return iter(())

    @abstractmethod
    def missing_rights(self) -> tuple[str, ...] | None:
        """Return the rights that the user lacks, as ACL SETUSER takes them.

        None for a broker where only `check` can tell.
        """

    @abstractmethod
    def check(self, connection: Connection, job_queues: Sequence[str]) -> Iterator[Finding]:
        """Declare what a worker declares, and try to publish and to read. Raises NotConfirmed."""


def connect_at_once(connection: Connection) -> None:
    """Connect to the first server of its URL that answers; raises if none does.

    It tries each one once: somebody waits at a terminal.
    """
    attempts = max(2, len(connection.alt))
    connection.ensure_connection(max_retries=attempts - 1, interval_start=0, interval_step=0)


class Taker:
    """Takes the messages of one queue, one at a time; what is not acknowledged goes back."""

    def __init__(self, broker: Broker, connection: Connection, queue: str) -> None:
        self._broker = broker
        self._connection = connection
        # kombu's types lack these methods of its channels, and its Queue raises for a message that
        # cannot be unpacked.
        self._channel: Any = connection.channel()
        self._queue = queue

    def take(self) -> Message | None:
        """Take the next message, valid or not; None if there is none now."""
        found = self._channel.basic_get(self._queue, no_ack=False)
        return None if found is None else self._channel.message_to_python(found)

    def ready(self) -> int:
        """Count the messages that nobody has in hand."""
        return self._broker.ready(self._connection, self._queue)
