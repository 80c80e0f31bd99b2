"""A delivery on RabbitMQ: to put it off, a copy is published to Celery's delayed queues."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from kombu import Connection, Queue
from kombu.transport.native_delayed_delivery import (
    MAX_LEVEL,
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)

from tasks.messages.intake import READ_HEADERS
from tasks.messages.outgoing import Outgoing
from tasks.messages.trace import trace_of
from worker.broker.delivery import ENQUEUED_HEADER, Delivery

DELAY_EXCHANGE: Final = level_name(MAX_LEVEL)
# The queues that hold delayed messages.
DELAY_QUEUES: Final = tuple(level_name(level) for level in range(MAX_LEVEL + 1))
# Celery's delayed queues count whole seconds.
MIN_DELAY_SECONDS: Final = 1
# The headers that a delayed copy keeps, beside the trace context. No other header is ever read
# again, and a producer's own may be such that the broker would refuse them from us.
KEPT_HEADERS: Final = (*sorted(READ_HEADERS), ENQUEUED_HEADER)


def declare_delays(connection: Connection, queues: Iterable[Queue]) -> None:
    """Declare Celery's native delayed delivery for these queues, as Celery's own workers do."""
    declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum")
    for queue in queues:
        bind_queue_to_native_delayed_delivery_exchange(connection, queue)


class RabbitDelivery(Delivery):
    """A message of RabbitMQ."""

    def defer(self, seconds: float) -> None:
        """Publish a delayed copy, and acknowledge this message once the copy is confirmed."""
        self._publisher.send(self._later(seconds), self.ack, self.requeue)

    def _later(self, seconds: float) -> Outgoing:
        message = self.message
        whole = max(MIN_DELAY_SECONDS, math.ceil(seconds))
        headers = {
            name: value
            for name in KEPT_HEADERS
            if isinstance(value := message.headers.get(name), str | bytes)
        }
        received = self.received
        return Outgoing(
            exchange=DELAY_EXCHANGE,
            routing_key=calculate_routing_key(whole, self.queue),
            body=received.body,
            message_id=str(message.properties.get("message_id") or ""),
            priority=int(message.properties.get("priority") or 0),
            headers={**headers, **trace_of(message.headers)},
            content_type=received.content_type or "application/json",
            content_encoding=received.content_encoding or "utf-8",
        )
