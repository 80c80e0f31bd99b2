"""Which broker a URL names: the only place that asks."""

from __future__ import annotations

from config.urls import is_redis
from worker.broker.base import Broker
from worker.broker.rabbitmq.broker import RabbitBroker
from worker.broker.redis.broker import RedisBroker


def broker_at(url: str) -> Broker:
    """Return the broker at a URL that the settings have accepted; it does not connect yet."""
    return RedisBroker(url) if is_redis(url) else RabbitBroker(url)
