"""The exchanges and queues, as kombu declares them on any broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from amqp.exceptions import AccessRefused
from kombu import Connection, Exchange, Queue, binding

from config.names import (
    CREATED_KEY,
    DEAD_LETTERS_QUEUE,
    EXCHANGE_NAME,
    FAILED_KEY,
    JOBS_EXCHANGE_NAME,
    JOBS_QUEUE,
    RESULTS_QUEUE,
    REUSED_KEY,
)

# After this many deliveries without an acknowledgement RabbitMQ moves a message to the dead
# letters. The ledger gives a job up sooner, with a reason; this catches what never reaches it.
DELIVERY_LIMIT: Final = 100

# RabbitMQ 4 would drop a result or a dead letter after 20 deliveries without an acknowledgement,
# and each time a command shows one counts.
OUTGOING_DELIVERY_LIMIT: Final = 1_000_000_000

# Celery's native delayed delivery on RabbitMQ needs a topic exchange and quorum queues.
JOBS_EXCHANGE: Final = Exchange(JOBS_EXCHANGE_NAME, type="topic", durable=True)
EXCHANGE: Final = Exchange(EXCHANGE_NAME, type="topic", durable=True)


def jobs_queue(name: str = JOBS_QUEUE) -> Queue:
    """Describe a jobs queue; messages over its delivery limit go to the dead letters."""
    return Queue(
        name,
        JOBS_EXCHANGE,
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": EXCHANGE_NAME,
            "x-dead-letter-routing-key": FAILED_KEY,
            # At-least-once dead lettering requires reject-publish (RabbitMQ, quorum queues).
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def results_queue() -> Queue:
    """Describe the queue of results, which the SEND stage consumes."""
    return _outgoing(RESULTS_QUEUE, (CREATED_KEY, REUSED_KEY))


def dead_letters_queue() -> Queue:
    """Describe the queue of dead letters."""
    return _outgoing(DEAD_LETTERS_QUEUE, (FAILED_KEY,))


def _outgoing(name: str, routing_keys: tuple[str, ...]) -> Queue:
    return Queue(
        name,
        durable=True,
        bindings=[binding(EXCHANGE, routing_key=key) for key in routing_keys],
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": OUTGOING_DELIVERY_LIMIT,
        },
    )


def declare_queues(channel: Any, job_queues: Iterable[Queue]) -> None:
    """Declare these jobs queues, the results and the dead letters."""
    for queue in (*job_queues, results_queue(), dead_letters_queue()):
        queue.bind(channel).declare()


def queue_of(delivery_info: Mapping[str, Any], queues: Iterable[str], default: str) -> str:
    """Return the jobs queue that a message came from.

    After a delay its routing key has the delay's bits as a prefix.
    """
    key = str(delivery_info.get("routing_key") or "")
    return next((name for name in queues if key == name or key.endswith(f".{name}")), default)


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that the broker refused: its name, such as `queue_bind`, and what it was to do."""

    call: str
    options: Mapping[str, Any]
    error: BaseException

    @property
    def lacks_right(self) -> bool:
        """Whether it was refused because the user lacks the right."""
        return isinstance(self.error, AccessRefused)


class LenientConnection:
    """A stand-in for a connection whose channels go on after a refusal."""

    def __init__(self, connection: Connection, refused: list[Refused]) -> None:
        self._connection = connection
        self._refused = refused
        self._channel: LenientChannel | None = None

    def channel(self) -> LenientChannel:
        """Return the same channel each time."""
        if self._channel is None:
            self._channel = LenientChannel(self._connection, self._refused)
        return self._channel


class LenientChannel:
    """A stand-in for a channel: a refused call is recorded and returns None."""

    def __init__(self, connection: Connection, refused: list[Refused]) -> None:
        self._connection = connection
        self._refused = refused
        self._channel: Any = connection.channel()

    def __getattr__(self, name: str) -> Any:
        """Return the channel's own attribute; a method is wrapped."""
        found = getattr(self._channel, name)
        if not callable(found) or name.startswith("prepare"):
            return found

        def call(*args: Any, **options: Any) -> Any:
            try:
                return getattr(self._channel, name)(*args, **options)
            except self._connection.channel_errors as error:
                self._refused.append(Refused(name, options, error))
                # py-amqp has reopened the channel by now.
                return None

        return call
