"""The producer that a broker takes."""

from __future__ import annotations

from kombu import Connection

from worker.messaging.confirms import ConfirmedProducer
from worker.messaging.kombu_producer import KombuProducer
from worker.messaging.rabbit_producer import RabbitProducer
from worker.messaging.redis_producer import RedisProducer


def confirmed_producer(broker: Connection) -> ConfirmedProducer:
    """Return what publishes on a broker so that it has every message."""
    match broker.transport.driver_type:
        case "amqp":
            return RabbitProducer(broker)
        case "redis":
            return RedisProducer(broker)
        case _:
            return KombuProducer(broker)
