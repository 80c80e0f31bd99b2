"""What becomes of messages in hand on Redis and Valkey: settled, put off, taken over."""

from __future__ import annotations

import time

import pytest
from kombu import Message
from redis import Redis

from config.names import JOBS_QUEUE
from tests.redis_consumer import RedisConsumer, bodies, publish
from tests.redis_server import RedisServer
from tests.waiting import wait_until
from worker.broker.message import body_of
from worker.broker.redis.layout import DELIVERIES_HEADER, Depth, Layout, queue_depths, queue_script

# Long enough that a machine which stands still for a moment does not let one run out.
LEASE_SECONDS = 1.5


def depth(client: Redis) -> Depth:
    """Return what is on the jobs queue."""
    return queue_depths(client, [JOBS_QUEUE])[JOBS_QUEUE]


def wait_for_depth(client: Redis, expected: Depth) -> None:
    """Wait for settlements, which go out in the background."""
    wait_until(lambda: depth(client) == expected, f"the queue is {expected}", seconds=5)


def history(message: Message) -> tuple[object, object]:
    """Return what a message says of its earlier deliveries."""
    return message.delivery_info["redelivered"], message.headers.get(DELIVERIES_HEADER)


@pytest.mark.parametrize("how", ["ack", "reject"])
def test_a_message_that_is_dealt_with_leaves_nothing_behind(
    url: str, client: Redis, how: str
) -> None:
    """Acknowledged or rejected, it is gone from the server."""
    publish(url, ["job"])
    with RedisConsumer(url) as consumer:
        (message,) = consumer.receive(1)
        getattr(message, how)()
        wait_for_depth(client, Depth(0, 0, 0))
        assert client.keys(f"{JOBS_QUEUE}*") == []


def test_a_message_given_back_comes_next_and_says_so(url: str, client: Redis) -> None:
    """It precedes what was behind it, as redelivered, and counts how often."""
    publish(url, ["first", "second"])
    with RedisConsumer(url, prefetch=1) as consumer:
        (message,) = consumer.receive(1)
        assert history(message) == (False, None)
        for deliveries in (1, 2):
            message.requeue()
            wait_for_depth(client, Depth(2, 0, 0))
            (message,) = consumer.receive(1)
            assert message.payload == "first"
            assert history(message) == (True, deliveries)


@pytest.mark.parametrize("payload", [b"", b"{", b"\x00\xff", b'"x-delivery-count"', b"{}"])
def test_bytes_that_are_given_back_stay_the_same(url: str, client: Redis, payload: bytes) -> None:
    """The count that the server notes is no part of the message."""
    client.lpush(JOBS_QUEUE, payload)
    with RedisConsumer(url) as consumer:
        for _ in range(3):
            (message,) = consumer.receive(1)
            assert body_of(message) == payload
            message.requeue()


def test_an_ordinary_kombu_consumer_reads_what_was_given_back(url: str) -> None:
    """Whoever goes back to the stock transport finds every message readable."""
    publish(url, [{"jobId": "1"}])
    with RedisConsumer(url) as consumer:
        consumer.receive(1)
    with RedisConsumer(url, on_ours=False) as stock:
        assert bodies(stock.receive(1)) == [{"jobId": "1"}]


def test_a_message_put_off_comes_back_when_it_is_due(url: str, client: Redis) -> None:
    """Not before, once, and not as a failure; no slot is held meanwhile."""
    publish(url, ["later", "now"])
    with RedisConsumer(url, prefetch=1) as consumer:
        (message,) = consumer.receive(1)
        consumer.channel.defer(message.delivery_tag, 0.8)
        put_off = time.monotonic()
        (other,) = consumer.receive(1)
        assert other.payload == "now"
        wait_for_depth(client, Depth(0, 1, 1))
        other.ack()
        (message,) = consumer.receive(1)
        assert 0.75 <= time.monotonic() - put_off <= 3
        assert message.payload == "later"
        assert history(message) == (False, None)


def test_messages_put_off_come_in_the_order_in_which_they_are_due(url: str, client: Redis) -> None:
    """Equal messages are kept apart, and the one due first precedes."""
    publish(url, ["same", "same", "third"])
    with RedisConsumer(url) as consumer:
        for message, seconds in zip(consumer.receive(3), (0.4, 0.3, 0.1), strict=True):
            consumer.channel.defer(message.delivery_tag, seconds)
        delayed = f"{JOBS_QUEUE}:delayed"
        wait_until(lambda: client.zcount(delayed, 0, time.time() * 1000) == 3, "all are due")
        assert bodies(consumer.receive(3)) == ["third", "same", "same"]


def test_only_the_first_settlement_counts(url: str, client: Redis) -> None:
    """An acknowledgement after a deferral, as Celery sends one, does not lose the message."""
    publish(url, ["put off", "done"])
    with RedisConsumer(url) as consumer:
        put_off, done = consumer.receive(2)
        consumer.channel.defer(put_off.delivery_tag, 60)
        put_off.ack()
        done.ack()
        consumer.channel.basic_reject(done.delivery_tag, requeue=True)
        wait_for_depth(client, Depth(0, 1, 0))


def test_a_channel_that_closes_gives_back_what_it_holds_in_order(url: str, client: Redis) -> None:
    """The next consumer has it at once, the oldest first."""
    publish(url, range(4))
    with RedisConsumer(url, prefetch=3) as consumer:
        assert bodies(consumer.receive(3)) == [0, 1, 2]
    assert depth(client) == Depth(4, 0, 0)
    with RedisConsumer(url) as consumer:
        assert bodies(consumer.receive(4)) == [0, 1, 2, 3]


def test_a_handler_that_breaks_loses_nothing(url: str, client: Redis) -> None:
    """The message whose handler raised goes back, and so do those taken along with it."""
    publish(url, range(3))
    with RedisConsumer(url) as consumer:

        def break_down(_message: Message) -> None:
            raise RuntimeError("broken handler")

        consumer.on_message(break_down)
        with pytest.raises(RuntimeError, match="broken handler"):
            consumer.receive(1)
        wait_for_depth(client, Depth(3, 0, 0))


def test_what_is_in_hand_is_not_taken_over(url: str) -> None:
    """A job may run for many leases: they are renewed while its process lives."""
    publish(url, ["slow"])
    with (
        RedisConsumer(url, lease_seconds=LEASE_SECONDS) as slow,
        RedisConsumer(url, lease_seconds=LEASE_SECONDS) as other,
    ):
        slow.receive(1)
        assert other.receive(1, seconds=2 * LEASE_SECONDS) == []


def test_the_jobs_of_a_dead_worker_are_taken_over(url: str, client: Redis) -> None:
    """They come once their leases have run out, marked as redelivered."""
    publish(url, range(3))
    layout = Layout()
    take = queue_script(client, "queue_take")
    # What a killed worker leaves behind: leases that nobody renews.
    take(layout.keys([JOBS_QUEUE]), [3, int(LEASE_SECONDS * 1000), "dead", 10**6, 1, *layout.steps])
    with RedisConsumer(url, lease_seconds=LEASE_SECONDS) as other:
        messages = other.receive(3)
        assert bodies(messages) == [0, 1, 2]
        assert {history(message) for message in messages} == {(True, 1)}


def test_they_are_taken_over_without_a_dangerous_command(url: str, client: Redis) -> None:
    """A user of the server who may not call those loses no job either."""
    publish(url, ["job"])
    layout = Layout()
    take = queue_script(client, "queue_take")
    take(layout.keys([JOBS_QUEUE]), [1, int(LEASE_SECONDS * 1000), "dead", 10**6, 1, *layout.steps])
    allowed = ["+@all", "-@dangerous"]
    client.acl_setuser(
        "careful", enabled=True, passwords=["+word"], keys=["*"], channels=["*"], categories=allowed
    )
    try:
        careful = url.replace("redis://", "redis://careful:word@")
        with RedisConsumer(careful, lease_seconds=LEASE_SECONDS) as other:
            assert bodies(other.receive(1)) == ["job"]
    finally:
        client.acl_deluser("careful")


def test_another_user_of_the_server_settles_as_itself(url: str, client: Redis) -> None:
    """What one process does under two names has nothing to do with each other."""
    lease_seconds = LEASE_SECONDS + 0.1  # of no other test's
    publish(url, ["job"])
    client.acl_setuser(
        "leaver",
        enabled=True,
        passwords=["+word"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
    )
    leaver = url.replace("redis://", "redis://leaver:word@")
    with RedisConsumer(leaver, lease_seconds=lease_seconds) as other:
        other.receive(1)
    client.acl_deluser("leaver")
    with RedisConsumer(url, lease_seconds=lease_seconds) as consumer:
        (message,) = consumer.receive(1)
        message.ack()
        wait_for_depth(client, Depth(0, 0, 0))


def test_a_lost_connection_leaves_jobs_in_hand(url: str, client: Redis) -> None:
    """They run on: nobody else gets them, they take up room, and can be acknowledged late."""
    publish(url, range(2))
    with RedisConsumer(url, prefetch=1, lease_seconds=LEASE_SECONDS) as consumer:
        (message,) = consumer.receive(1)
        consumer.cut()
        with RedisConsumer(url, prefetch=1, lease_seconds=LEASE_SECONDS) as again:
            assert again.receive(1, seconds=2 * LEASE_SECONDS) == []
            message.ack()
            assert bodies(again.receive(1)) == [1]
            wait_for_depth(client, Depth(0, 0, 1))


class TestWithTheServerAway:
    """Settling and renewing while the server is down, and after."""

    @pytest.fixture(autouse=True)
    def _up_again(self, server: RedisServer) -> None:
        self.server = server

    def test_an_acknowledgement_frees_its_slot_and_arrives_later(
        self, url: str, client: Redis
    ) -> None:
        """It does not raise, does not wait, and is told to the server once that is back."""
        publish(url, range(2))
        with RedisConsumer(url, prefetch=1) as consumer:
            (message,) = consumer.receive(1)
            self.server.kill()
            message.ack()
            assert consumer.channel.qos.can_consume()
            self.server.start()
            wait_for_depth(client, Depth(1, 0, 0))

    def test_stock_kombu_loses_that_slot_for_good(self, url: str) -> None:
        """Why there is a transport of our own: the credit never comes back (celery #8030)."""
        publish(url, ["job"])
        with RedisConsumer(url, prefetch=1, on_ours=False) as stock:
            (message,) = stock.receive(1)
            self.server.kill()
            with pytest.raises(stock.connection.connection_errors):
                message.ack()
            self.server.start()
            assert not stock.channel.qos.can_consume()

    def test_holders_renew_before_others_may_take_over(self, url: str) -> None:
        """After an outage longer than the lease a running job is still its worker's."""
        publish(url, ["running"])
        lease_seconds = 1.5
        with RedisConsumer(url, lease_seconds=lease_seconds) as holder:
            holder.receive(1)
            self.server.kill()
            time.sleep(lease_seconds)
            self.server.start()
            with RedisConsumer(url, lease_seconds=lease_seconds) as other:
                assert other.receive(1, seconds=2 * lease_seconds) == []

    def test_what_is_put_off_outlives_the_server(self, url: str) -> None:
        """Delays are on its disk."""
        publish(url, ["later"])
        with RedisConsumer(url) as consumer:
            (message,) = consumer.receive(1)
            consumer.channel.defer(message.delivery_tag, 0.5)
        self.server.kill()
        self.server.start()
        with RedisConsumer(url) as consumer:
            assert bodies(consumer.receive(1)) == ["later"]
