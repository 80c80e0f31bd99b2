"""The consumer: Celery's own, except for how it handles a message.

Celery's consumer drops messages that are not tasks, name an unknown task or cannot be decoded. This
one passes every message to the task as a delivery, which the task settles in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, Final, cast

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from kombu import Connection, Message
from kombu.common import ignore_errors

from config.names import JOBS_QUEUE
from tasks.store.replies import classify, report_broker
from worker.broker.in_hand import InHand
from worker.broker.topology import queue_of
from worker.parts import Parts
from worker.signals import run_of

TURN_SECONDS: Final = 1.0
# Messages that end within this time are acknowledged together: the broker then sends as many new
# ones at once, and the worker wakes up less often. Nobody waits: the outcomes are published.
ACK_DELAY_SECONDS: Final = 0.03
# Prefetch 1.5 messages per slot: the extra ones are waiting for a confirm, or ready to begin. With
# fewer, slots are idle. Acknowledge at once when half of the extra ones have ended.
MIN_AHEAD: Final = 4
# Pauses between attempts to reach a broker that is away, in seconds: the first, and the longest.
FIRST_PAUSE_SECONDS: Final = 1
MAX_PAUSE_SECONDS: Final = 5
# Celery's command has these on by default. They need fanout queues, and their events would go
# through the loop that also answers AMQP's heartbeats.
NOT_OURS: Final = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}


class JobConsumer(Consumer):
    """Passes each message to `conversations.create`, and keeps those in hand."""

    # Celery sets these; its types lack them.
    hub: Any
    task_consumer: Any
    initial_prefetch_count: int
    restart_count: int

    class Blueprint(Consumer.Blueprint):  # type: ignore[valid-type,misc] # Celery's types take it for a variable
        """Celery's steps without the one that declares delays, which is done already.

        At each start of the consumer it would try every alternative of the broker's URL, each dead
        one for several seconds.
        """

        default_steps: ClassVar = [
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]

    def __init__(
        self, *args: Any, controller: Any, worker_options: dict[str, Any], **kwargs: Any
    ) -> None:
        """Take the parts of `controller`, which is Celery's worker."""
        self._parts: Parts = controller.parts
        self._untouched: list[Message] = []
        self.turned_at = self.received_at = time.monotonic()
        self.is_consuming = False
        kwargs |= {"controller": controller, "worker_options": worker_options | NOT_OURS}
        super().__init__(*args, **kwargs | {"task_events": False})
        ahead = max(MIN_AHEAD, self.initial_prefetch_count // 2)
        self.initial_prefetch_count += ahead
        self._in_hand = InHand(
            self._soon, self._now, enough=ahead // 2, multiple=self._parts.broker.acks_multiple
        )

    def create_task_handler(self, *_: Any) -> Callable[[Message], None]:
        """Return the function that Celery calls with every message."""
        create, publisher = self._parts.create, self._parts.publisher
        draining, make_delivery = self._parts.shutdown.draining, self._parts.broker.delivery
        taken = self._parts.taken
        queues = tuple(self.app.amqp.queues.consume_from)
        default = queues[0] if queues else JOBS_QUEUE
        # py-amqp would decode a body with the encoding that its message names, but the exact bytes
        # are needed.
        self.task_consumer.channel.auto_decode = False

        def on_message(message: Message) -> None:
            if draining.is_set():
                # Handed back now, it would come again at once, until its delivery limit is reached.
                self._untouched.append(message)
                return
            queue = queue_of(message.delivery_info, queues, default)
            taken[queue] += 1
            delivery = make_delivery(
                message,
                queue=queue,
                in_hand=self._in_hand,
                publisher=publisher,
            )
            self._in_hand.add(delivery)
            self.received_at = time.monotonic()
            work = create.receive(delivery)
            if work is not None:
                run = run_of(create, self, work, delivery)
                self.pool.on_apply(run, (work, delivery))

        return on_message

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Handle a message that kombu could not decompress like any other: it is a dead letter."""
        del exc
        self.task_consumer.on_message(message)

    def register_with_event_loop(self, hub: Any) -> None:
        """Let the loop show that it runs; Celery calls this for each connection."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(TURN_SECONDS, self._turn)
        if self.restart_count > 1:
            # The broker may be another one, or have lost what was declared.
            self._parts.publisher.declare()

    def connection_for_read(self, heartbeat: float | None = None) -> Connection:
        """Connect; the URL is read again, since another server may come first now."""
        return self.ensure_connected(
            self._parts.broker.consuming_connection(heartbeat=heartbeat or 0)
        )

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, for as long as it takes, and log each failure."""
        conn.ensure_connection(
            _say_why,
            interval_start=FIRST_PAUSE_SECONDS,
            interval_step=FIRST_PAUSE_SECONDS,
            interval_max=MAX_PAUSE_SECONDS,
            callback=maybe_shutdown,
        )
        return conn

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Drop the connection, and pause if a new one would fail, too."""
        _say_why(exc, FIRST_PAUSE_SECONDS)
        super().on_connection_error_after_connected(exc)
        if classify(exc).kind != "gone":
            time.sleep(FIRST_PAUSE_SECONDS)

    def on_ready(self) -> None:
        """Note that messages come now; Celery calls this for each connection."""
        self.is_consuming = True
        super().on_ready()

    def on_close(self) -> None:
        """Note that no messages come; Celery calls this when a connection is lost."""
        self.is_consuming = False
        super().on_close()

    def in_hand(self) -> int:
        """Return how many messages are being worked on."""
        return len(self._in_hand)

    def ended_at(self) -> float:
        """Return when a message was last acknowledged, handed back or put off."""
        return self._in_hand.ended_at

    def stop_taking(self) -> None:
        """Take no more messages; those in hand go on. For any thread.

        Messages that come after a reconnect are not touched, and go back when it is closed.
        """
        self.hub.call_soon(self._cancel)

    def _cancel(self) -> None:
        connection = cast("Any", self)
        # There is none before the first connection, and between two.
        if self.task_consumer is not None:
            ignore_errors(connection, self.task_consumer.cancel)
        while self._untouched:
            ignore_errors(connection, self._untouched.pop().requeue)

    def _soon(self, settle: Callable[[], object]) -> None:
        """Call `settle` after ACK_DELAY_SECONDS, in the loop. For any thread."""
        self.hub.call_soon(self.hub.call_later, ACK_DELAY_SECONDS, settle)

    def _now(self, settle: Callable[[], object]) -> None:
        """Call `settle` in the loop's next turn. For any thread."""
        self.hub.call_soon(settle)

    def _turn(self) -> None:
        self.turned_at = time.monotonic()
        # kombu forgets scheduled calls when a connection breaks.
        self._in_hand.settle()


def _say_why(error: Exception, pause: float) -> None:
    report_broker(classify(error), retry_in=pause)
