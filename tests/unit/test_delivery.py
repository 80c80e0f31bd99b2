"""A delivery that is put off: the broker keeps the delay, each in its own way."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from kombu import Message

from tasks.messages.outgoing import Outgoing
from worker.broker.delivery import Delivery
from worker.broker.in_hand import InHand
from worker.broker.rabbitmq.delivery import RabbitDelivery
from worker.broker.redis.delivery import RedisDelivery

BODY = b'{"jobId": "1"}'


class Sender:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def send(
        self,
        message: Outgoing,
        confirmed: Callable[[], object],
        handed_back: Callable[[], object] | None = None,
    ) -> None:
        del confirmed, handed_back
        self.sent.append(message)


class Channel:
    """As much of a Redis channel as a message needs that is put off."""

    no_ack_consumers: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.deferred: list[tuple[str, float]] = []

    def defer(self, tag: str, seconds: float) -> None:
        self.deferred.append((tag, seconds))


def delivery(kind: type[Delivery], sender: Sender, **message: Any) -> tuple[Delivery, Channel]:
    """Take a message in hand."""
    channel: Any = Channel()
    given = Message(delivery_tag="1", content_type="application/json", channel=channel, **message)

    def at_once(action: Callable[[], object]) -> None:
        action()

    in_hand = InHand(at_once, at_once, enough=2, multiple=False)
    found = kind(given, queue="conversations.jobs", in_hand=in_hand, publisher=sender)
    in_hand.add(found)
    return found, channel


def test_a_delay_on_rabbitmq_takes_the_body_unpacked() -> None:
    """And no header says that it is packed: the next delivery would be unreadable."""
    sender = Sender()
    headers = {"compression": "application/x-gzip", "x-delivery-count": 1, "id": "1"}
    found, _ = delivery(RabbitDelivery, sender, body=zlib.compress(BODY), headers=headers)
    assert found.body == BODY
    found.defer(2.5)
    (later,) = sender.sent
    assert (later.body, later.headers) == (BODY, {"id": "1"})


def test_a_delay_on_redis_is_the_servers() -> None:
    """Nothing is published for it."""
    sender = Sender()
    found, channel = delivery(RedisDelivery, sender, body=BODY)
    found.defer(2.5)
    assert (channel.deferred, sender.sent) == ([("1", 2.5)], [])


def test_a_delay_on_rabbitmq_keeps_the_trace_context() -> None:
    """As far as it comes back: what is too long or no text is left behind."""
    sender = Sender()
    headers = {"traceparent": "00-1-2-01", "tracestate": "x" * 5000, "other": "one"}
    found, _ = delivery(RabbitDelivery, sender, body=BODY, headers=headers)
    found.defer(2.5)
    assert sender.sent[0].headers == {"traceparent": "00-1-2-01"}
