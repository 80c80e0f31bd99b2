"""The broker: how to reach it, what is declared on it, and how a message waits on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

from amqp.exceptions import AccessRefused
from kombu import Connection, Message, Queue
from kombu.transport.native_delayed_delivery import (
    MAX_LEVEL,
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)

from config.names import dead_letters_queue, jobs_queue, results_queue
from config.urls import AMQP_SCHEMES, for_kombu
from tasks.store.connection import ANSWER_SECONDS as STORE_ANSWER_SECONDS
from worker.broker.rabbitmq import transport as amqp_transport

# A broker that does not answer within this many seconds is gone. After a restart RabbitMQ elects
# leaders for its quorum queues first, and declarations wait for them. Redis is given no longer than
# as a store: what is in hand there is leased for ten seconds.
CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 30
DELAY_EXCHANGE: Final = level_name(MAX_LEVEL)


def is_rabbitmq(url: str) -> bool:
    """Tell whether a broker URL names RabbitMQ."""
    return urlsplit(url).scheme in AMQP_SCHEMES


def transport_options(url: str, *, answer_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Return the options under which no call to the broker can hang."""
    if is_rabbitmq(url):
        return {"read_timeout": answer_seconds, "write_timeout": answer_seconds}
    return {
        "socket_timeout": min(answer_seconds, STORE_ANSWER_SECONDS),
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
    }


def connection(
    url: str, *, heartbeat: float = 0, answer_seconds: float = ANSWER_SECONDS
) -> Connection:
    """Return a connection for what is not a worker's consuming side; it connects at first use.

    With a `heartbeat` RabbitMQ shows at least as often, in seconds, that it is there, and wants to
    be shown the same.
    """
    amqp_transport.register()
    options = transport_options(url, answer_seconds=answer_seconds)
    if is_rabbitmq(url):
        # With an alarm RabbitMQ reads nothing, and the system would end the connection over it.
        options["socket_settings"] = amqp_transport.WAITS_FOR_A_READER
    return Connection(
        amqp_transport.own_url(for_kombu(url)),
        connect_timeout=CONNECT_SECONDS,
        heartbeat=heartbeat,
        transport_options=options,
    )


def declare(broker: Connection, job_queues: Iterable[str] = ()) -> None:
    """Declare the jobs queues named, the results and the dead letters; repeating it is harmless."""
    queues = [jobs_queue(name) for name in job_queues]
    with broker.channel() as channel:
        for queue in (*queues, results_queue(), dead_letters_queue()):
            queue.bind(channel).declare()
    if queues and broker.transport.driver_type == "amqp":
        declare_delays(broker, queues)


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that the broker refused: its name, such as `queue_bind`, and what it was to do."""

    call: str
    options: Mapping[str, Any]
    error: BaseException


def declare_each(broker: Connection, job_queues: Iterable[str] = ()) -> list[Refused]:
    """Declare all that `declare` does, each thing by itself, and return what was refused.

    Raises the connection's own errors.
    """
    refused: list[Refused] = []
    lenient = cast("Any", LenientConnection(broker, refused))
    queues = [jobs_queue(name) for name in job_queues]
    for queue in (*queues, results_queue(), dead_letters_queue()):
        queue.bind(lenient.channel()).declare()
    if queues and broker.transport.driver_type == "amqp":
        declare_delays(lenient, queues)
    return refused


def declare_if_allowed(broker: Connection, job_queues: Iterable[str] = ()) -> None:
    """Declare as `declare` does, for a user who may lack the rights where all is there already.

    Raises what is refused for another reason.
    """
    for refused in declare_each(broker, job_queues):
        if not isinstance(refused.error, AccessRefused):
            raise refused.error


class LenientConnection:
    """Stands in for a connection whose channels are to go on after something was refused."""

    def __init__(self, broker: Connection, refused: list[Refused]) -> None:
        self._broker = broker
        self._refused = refused
        self._channel: LenientChannel | None = None

    def channel(self) -> LenientChannel:
        """Return the same channel each time."""
        if self._channel is None:
            self._channel = LenientChannel(self._broker, self._refused)
        return self._channel


class LenientChannel:
    """Stands in for a channel: a call that is refused is noted, and gives nothing."""

    def __init__(self, broker: Connection, refused: list[Refused]) -> None:
        self._broker = broker
        self._refused = refused
        self._channel: Any = broker.channel()

    def __getattr__(self, name: str) -> Any:
        """Return the channel's own."""
        found = getattr(self._channel, name)
        if not callable(found) or name.startswith("prepare"):
            return found

        def call(*args: Any, **options: Any) -> Any:
            try:
                return getattr(self._channel, name)(*args, **options)
            except self._broker.channel_errors as error:
                self._refused.append(Refused(name, options, error))
                # py-amqp has opened the channel anew by now.
                return None

        return call


def declare_delays(broker: Connection, queues: Iterable[Queue]) -> None:
    """Declare Celery's native delayed delivery, as its own workers do, for these queues."""
    declare_native_delayed_delivery_exchanges_and_queues(broker, "quorum")
    for queue in queues:
        bind_queue_to_native_delayed_delivery_exchange(broker, queue)


def delayed_routing_key(queue: str, seconds: int) -> str:
    """Return the key under which DELAY_EXCHANGE brings a message to a jobs queue later."""
    return calculate_routing_key(seconds, queue)


def ready_messages(broker: Connection, queue: str) -> int:
    """Count the messages of a queue that nobody has in hand; one that is not there has none.

    Redis does not know an empty queue, and says so as RabbitMQ does of one that was never declared.
    """
    channel = cast("Any", broker.channel())
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except broker.channel_errors:
        return 0
    finally:
        channel.close()


def body_of(message: Message) -> bytes:
    """Return a message's body to the byte."""
    body: Any = message.body or b""
    return body.encode() if isinstance(body, str) else bytes(body)


def queue_of(delivery_info: Mapping[str, Any], queues: Iterable[str], default: str) -> str:
    """Return the jobs queue that a message came from.

    After a delay its routing key carries the delay's bits in front.
    """
    key = str(delivery_info.get("routing_key") or "")
    return next((name for name in queues if key == name or key.endswith(f".{name}")), default)
