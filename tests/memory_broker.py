"""A broker in this process, on kombu's memory transport, for tests that need no server.

It keeps what the real ones promise as far as `tests/contract/test_brokers.py` tries it; what it
holds is shared by all of its connections.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, ClassVar, cast

from kombu import Connection, Producer, Queue
from kombu.exceptions import EncodeError
from kombu.transport import TRANSPORT_ALIASES, memory

from tasks.messages.intake import Received
from tasks.messages.outgoing import PERSISTENT, Outgoing
from worker.broker.base import ANSWER_SECONDS, Broker, QueueDepth
from worker.broker.confirms import NotConfirmed, Refusal, RefusalKind
from worker.broker.delivery import Delivery
from worker.broker.message import received
from worker.finding import Finding

SCHEME = "overture-memory"


class Channel(memory.Channel):
    """Kombu's, which gives back what is in hand when it closes, and puts messages off."""

    do_restore = True
    delayed: ClassVar[set[threading.Timer]] = set()

    def defer(self, tag: str, seconds: float) -> None:
        """Take a message out of hand, and put it back after so many seconds."""
        channel: Any = self
        message = channel.qos.get(tag)
        channel.basic_ack(tag)

        def put_back() -> None:
            channel._restore(message)
            self.delayed.discard(timer)

        timer = threading.Timer(seconds, put_back)
        timer.daemon = True
        self.delayed.add(timer)
        timer.start()


class Transport(memory.Transport):
    """What the scheme stands for."""

    Channel = Channel


class MemoryDelivery(Delivery):
    """A message of this process."""

    def defer(self, seconds: float) -> None:
        """Have it come again."""
        self._in_hand.end(self, lambda: self.channel.defer(self.tag, seconds))


class KombuProducer:
    """A ConfirmedProducer over kombu's own, where a message that is taken is there."""

    blocked = ""
    heard_at = math.inf

    def __init__(self, connection: Connection) -> None:
        self._producer = cast("Any", Producer(connection.channel(), auto_declare=False))
        self._last = 0
        self._settled: list[tuple[int, Refusal | None]] = []

    def beat(self) -> None:
        """Do nothing."""

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish the messages one by one."""
        self.wait(self.send(messages))

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Publish the messages one by one; what cannot be written holds no other one up."""
        for message in messages:
            self._last += 1
            refusal = None
            try:
                self._publish(message)
            except (TypeError, ValueError, EncodeError) as error:
                refusal = Refusal(RefusalKind.UNSENDABLE, f"it cannot be written ({error})")
            self._settled.append((self._last, refusal))
        return self._last

    def wait(self, through: int) -> None:
        """Return at once, as what was sent is there; raises NotConfirmed for what is not."""
        del through
        for _, refusal in self.take():
            if refusal is not None:
                raise NotConfirmed(refusal.why)

    def take(self, *, seconds: float = 0) -> list[tuple[int, Refusal | None]]:
        """Return what was confirmed or refused since."""
        del seconds
        settled, self._settled = self._settled, []
        return settled

    def _publish(self, message: Outgoing) -> None:
        self._producer.publish(
            message.body,
            exchange=message.exchange,
            routing_key=message.routing_key,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            delivery_mode=PERSISTENT,
            message_id=message.message_id,
            type=message.type,
            priority=message.priority,
            headers=dict(message.headers),
            retry=False,
        )


class MemoryBroker(Broker):
    """The broker of this process, empty."""

    delivery = MemoryDelivery
    looks_only = False
    acks_multiple = False
    system = "memory"

    def __init__(self) -> None:
        super().__init__(f"{SCHEME}://")
        TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
        for timer in Channel.delayed:
            timer.cancel()
        Channel.delayed.clear()
        cast("Any", Channel).queues.clear()

    @property
    def consuming_url(self) -> str:
        return self.url

    def transport_options(self, *, answer_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        del answer_seconds
        return {}

    def connection(
        self, *, heartbeat: float = 0, answer_seconds: float = ANSWER_SECONDS
    ) -> Connection:
        del answer_seconds
        return Connection(self.url, heartbeat=heartbeat)

    def _declare_delays(self, connection: Connection, queues: Sequence[Queue]) -> None:
        """Do nothing: timers keep them."""

    def producer(
        self, connection: Connection, *, while_stuck: Callable[[], object] | None = None
    ) -> KombuProducer:
        del while_stuck
        return KombuProducer(connection)

    def refusal_of(self, error: BaseException) -> None:
        """Return None: it ends no connection."""

    def depths(self, queues: Sequence[str]) -> tuple[list[QueueDepth], int]:
        with self.connection() as connection:
            found = [
                QueueDepth(
                    name=name, ready=self.ready(connection, name), delayed=None, unacked=None
                )
                for name in queues
            ]
        return found, len(Channel.delayed)

    def look(self, queue: str) -> Generator[Received]:
        with self.connection() as connection:
            channel: Any = connection.channel()
            for payload in tuple(channel._queue_for(queue).queue):
                yield received(channel.message_to_python(payload))

    def demand_writable(self) -> None:
        """Do nothing: it takes everything."""

    def missing_rights(self) -> None:
        """Return None: there are no users."""

    def check(self, connection: Connection, job_queues: Sequence[str]) -> Iterator[Finding]:
        self.declare(connection, job_queues)
        yield Finding("works", "queues", "are declared")
