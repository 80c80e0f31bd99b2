"""What a broker or store does not allow a worker to do is found, or the audit would see nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import AccessRefused
from kombu import Connection
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.chaos.on_rabbitmq import RabbitBroker
from tests.chaos.redis_pair import RedisPair
from tests.rabbit_server import rabbitmq_missing
from tests.waiting import wait_until


def test_a_command_that_the_store_denies_is_found(tmp_path: Path) -> None:
    """What a worker asks for advice only is not."""
    pair = RedisPair(tmp_path, has_replica=False, restricted=True).start()
    try:
        with Redis.from_url(pair.url_at(pair.primary.port)) as worker:
            assert worker.ping()
            for command in (("CONFIG", "GET", "maxmemory"), ("KEYS", "*")):
                with pytest.raises(NoPermissionError):
                    worker.execute_command(*command)
        assert pair.denied() == {"keys"}
    finally:
        pair.stop()


def test_a_queue_that_rabbitmq_denies_is_found(tmp_path: Path) -> None:
    """It stands in the server's log."""
    if reason := rabbitmq_missing():
        pytest.skip(reason)
    broker = RabbitBroker(tmp_path, restricted=True)
    try:
        with Connection(broker.url_at(broker.port)) as worker:
            channel: Any = worker.channel()
            channel.queue_declare("conversations.jobs", durable=True)
            assert broker.denied() == set()
            with pytest.raises(AccessRefused):
                channel.queue_declare("strangers")
        wait_until(broker.denied, "the log has it")
        (denied,) = broker.denied()
        assert "queue 'strangers'" in denied
    finally:
        broker.stop()
