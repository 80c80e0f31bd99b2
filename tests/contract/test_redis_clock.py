"""Redis and Valkey as a broker whose clock is set: no hour is waited for, nothing runs twice."""

from __future__ import annotations

import time

import pytest
from kombu import Message
from redis import Redis

from config.names import JOBS_QUEUE
from tests.redis_consumer import RedisConsumer, bodies, publish
from tests.redis_server import RedisServer
from tests.stepped_clock import SteppedClock
from tests.waiting import wait_until
from worker.broker.redis.layout import Depth, Layout, queue_depths, queue_script

HOUR_SECONDS = 3600
STEPS = pytest.mark.parametrize("step", [-HOUR_SECONDS, HOUR_SECONDS], ids=["back", "forward"])
# Long enough that a machine which stands still for a moment does not let one run out.
LEASE_SECONDS = 3.0


@pytest.fixture
def url(stepped_server: RedisServer) -> str:
    """Give a server of that clock."""
    return stepped_server.url


def receive(consumer: RedisConsumer, count: int, *, seconds: float) -> list[Message]:
    """Receive in small steps, since kombu looks after its connection only between two."""
    messages: list[Message] = []
    deadline = time.monotonic() + seconds
    while len(messages) < count and time.monotonic() < deadline:
        messages += consumer.receive(count - len(messages), seconds=0.5)
    return messages


def depth(client: Redis) -> Depth:
    return queue_depths(client, [JOBS_QUEUE])[JOBS_QUEUE]


@STEPS
def test_what_is_in_hand_stays_there(url: str, clock: SteppedClock, step: int) -> None:
    """Its worker lives and renews the lease: nobody else gets the message."""
    publish(url, ["slow"])
    with (
        RedisConsumer(url, lease_seconds=LEASE_SECONDS) as slow,
        RedisConsumer(url, lease_seconds=LEASE_SECONDS) as other,
    ):
        slow.receive(1)
        clock.step(step)
        assert other.receive(1, seconds=2 * LEASE_SECONDS) == []
        assert depth(slow.channel.client).unacked == 1


@STEPS
def test_what_a_dead_worker_held_comes_as_soon_as_ever(
    url: str, client: Redis, clock: SteppedClock, step: int
) -> None:
    """Its leases run out in their own time, not an hour later."""
    publish(url, range(3))
    layout = Layout()
    take = queue_script(client, "queue_take")
    take(layout.keys([JOBS_QUEUE]), [3, int(LEASE_SECONDS * 1000), "dead", 10**6, 1, *layout.steps])
    clock.step(step)
    with RedisConsumer(url, lease_seconds=LEASE_SECONDS) as other:
        assert bodies(receive(other, 3, seconds=LEASE_SECONDS + 6)) == [0, 1, 2]


def test_what_was_put_off_waits_no_longer_than_its_delay(
    url: str, client: Redis, clock: SteppedClock
) -> None:
    """From the step back on."""
    publish(url, ["soon", "later"])
    with RedisConsumer(url) as consumer:
        soon, later = consumer.receive(2)
        consumer.channel.defer(later.delivery_tag, 2 * HOUR_SECONDS)
        consumer.channel.defer(soon.delivery_tag, 1)
        wait_until(lambda: depth(client) == Depth(0, 2, 0), "both are put off")
        clock.step(-HOUR_SECONDS)
        assert bodies(receive(consumer, 1, seconds=6)) == ["soon"]
        latest = (client.time()[0] + 2 * HOUR_SECONDS + 1) * 1000
        assert client.zcount(f"{JOBS_QUEUE}:delayed", 0, latest) == 1


def test_a_delay_that_somebody_deleted_holds_nothing_up(
    url: str, client: Redis, clock: SteppedClock
) -> None:
    """An operator's hand, or a worker of an earlier version, knows nothing of its beginning."""
    publish(url, ["deleted"])
    with RedisConsumer(url) as consumer:
        (message,) = consumer.receive(1)
        consumer.channel.defer(message.delivery_tag, 60)
        wait_until(lambda: depth(client) == Depth(0, 1, 0), "it is put off")
        client.delete(f"{JOBS_QUEUE}:delayed")
        clock.step(-HOUR_SECONDS)
        publish(url, ["next"])
        assert bodies(receive(consumer, 1, seconds=6)) == ["next"]


def test_an_idle_consumer_goes_on_after_a_step_back(url: str, clock: SteppedClock) -> None:
    """Its wait was to end at a time of the server's, which now lies an hour ahead."""
    with RedisConsumer(url) as consumer:
        for _ in range(5):
            receive(consumer, 1, seconds=0.3)
            clock.step(-HOUR_SECONDS)
            publish(url, ["urgent"], priority=9)
            (message,) = receive(consumer, 1, seconds=8)
            message.ack()


def test_what_has_come_back_leaves_nothing_behind(url: str, client: Redis) -> None:
    """Neither of its delay nor of its lease."""
    publish(url, ["job"])
    with RedisConsumer(url) as consumer:
        (message,) = consumer.receive(1)
        consumer.channel.defer(message.delivery_tag, 0.1)
        (message,) = consumer.receive(1)
        message.ack()
        wait_until(lambda: client.keys(f"{JOBS_QUEUE}*") == [], "nothing is left")
