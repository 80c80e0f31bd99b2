"""Which broker a URL names."""

from __future__ import annotations

import pytest

from config.urls import AMQP_SCHEMES, REDIS_SCHEMES
from worker.broker.brokers import broker_at
from worker.broker.rabbitmq.broker import RabbitBroker
from worker.broker.redis.broker import RedisBroker


@pytest.mark.parametrize("scheme", sorted(AMQP_SCHEMES | REDIS_SCHEMES))
def test_every_scheme_that_is_taken_names_one(scheme: str) -> None:
    """It is told by the scheme alone: nothing connects."""
    kind = RedisBroker if scheme in REDIS_SCHEMES else RabbitBroker
    broker = broker_at(f"{scheme}://user:canary@host.example/0")
    assert type(broker) is kind
    assert broker.consuming_url.startswith("overture-")
    assert "canary" not in repr(broker)


def test_alternatives_are_one_rabbitmq() -> None:
    """Each of them goes through its own transport."""
    broker = broker_at("amqp://one//;amqps://two//")
    assert type(broker) is RabbitBroker
    assert broker.consuming_url == "overture-amqp://one:5672//;overture-amqps://two:5671//"
