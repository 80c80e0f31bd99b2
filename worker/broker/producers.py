"""The producer that a broker takes."""

from __future__ import annotations

from collections.abc import Callable

from kombu import Connection

from worker.broker.confirms import ConfirmedProducer
from worker.broker.kombu_producer import KombuProducer
from worker.broker.rabbitmq.producer import RabbitProducer
from worker.broker.redis.producer import RedisProducer


def confirmed_producer(
    broker: Connection, *, while_stuck: Callable[[], object] | None = None
) -> ConfirmedProducer:
    """Return what publishes on a broker so that it has every message.

    `while_stuck` is called again and again while the broker reads nothing, and may raise; without
    it a broker that does not read counts as gone after a while.
    """
    match broker.transport.driver_type:
        case "amqp":
            return RabbitProducer(broker, while_stuck=while_stuck)
        case "redis":
            return RedisProducer(broker)
        case _:
            return KombuProducer(broker)
