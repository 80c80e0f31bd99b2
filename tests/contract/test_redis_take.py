"""Taking messages off Redis and Valkey: what comes, in which order, and how soon."""

from __future__ import annotations

import statistics
import time

import pytest
from redis import Redis
from redis._parsers.socket import SocketBuffer

from config.names import JOBS_QUEUE, account_queue
from tests.redis_consumer import RedisConsumer, bodies, publish
from worker.broker.message import body_of
from worker.broker.redis.channel import WAIT_SECONDS
from worker.broker.redis.envelope import RAW_CONTENT_TYPE
from worker.broker.redis.layout import Depth, queue_depths

# A server looks at its timeouts ten times a second.
SOON_SECONDS = WAIT_SECONDS + 0.25


def test_messages_come_highest_priority_first_and_oldest_first(url: str) -> None:
    """Priority 9 precedes 0, whatever was enqueued before; equals keep their order."""
    publish(url, ["old", "older"], priority=0)
    publish(url, ["middle"], priority=5)
    publish(url, ["urgent"], priority=9)
    publish(url, ["low"], priority=3)
    with RedisConsumer(url) as consumer:
        assert bodies(consumer.receive(5)) == ["urgent", "middle", "low", "old", "older"]


def test_a_message_comes_as_its_producer_wrote_it(url: str) -> None:
    """Headers, content type and body are untouched, and it is not redelivered."""
    publish(url, [{"jobId": "ä"}])
    with RedisConsumer(url) as consumer:
        (message,) = consumer.receive(1)
        assert message.payload == {"jobId": "ä"}
        assert message.content_type == "application/json"
        assert message.headers == {}
        assert message.delivery_info["routing_key"] == JOBS_QUEUE
        assert message.delivery_info["queue"] == JOBS_QUEUE
        assert message.delivery_info["redelivered"] is False


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xff\x00", b"{not json", b"[]", b"{}", b'{"body": 1, "properties": {}}', b"[" * 10_000],
    ids=["empty", "binary", "cut", "list", "object", "shape", "deep"],
)
def test_what_kombu_did_not_write_comes_as_raw_bytes(
    url: str, client: Redis, garbage: bytes
) -> None:
    """Anything in the list is delivered, and what is behind it follows."""
    client.lpush(JOBS_QUEUE, garbage)
    publish(url, ["next"])
    with RedisConsumer(url) as consumer:
        message, following = consumer.receive(2)
        assert (body_of(message), message.content_type) == (garbage, RAW_CONTENT_TYPE)
        assert following.payload == "next"


def test_stock_kombu_breaks_on_such_bytes_and_loses_them(url: str, client: Redis) -> None:
    """Why there is a transport of our own: the event loop ends, and the message is gone."""
    client.lpush(JOBS_QUEUE, b"{not json")
    with RedisConsumer(url, on_ours=False) as stock:
        with pytest.raises(ValueError, match="Expecting property name"):
            stock.receive(1)
        assert client.llen(JOBS_QUEUE) == 0


def test_no_more_is_in_hand_than_the_prefetch_count(url: str, client: Redis) -> None:
    """What was not asked for stays where other workers can take it."""
    publish(url, range(10))
    with RedisConsumer(url, prefetch=3) as consumer:
        messages = consumer.receive(4, seconds=0.5)
        assert bodies(messages) == [0, 1, 2]
        assert queue_depths(client, [JOBS_QUEUE]) == {JOBS_QUEUE: Depth(7, 0, 3)}
        messages[0].ack()
        assert bodies(consumer.receive(2, seconds=0.5)) == [3]


def test_a_backlog_on_one_queue_does_not_hold_up_another(url: str) -> None:
    """Queues take turns."""
    backlog, other = JOBS_QUEUE, account_queue("12345678")
    publish(url, ["backlog"] * 10, queue=backlog)
    publish(url, ["other"], queue=other)
    with RedisConsumer(url, prefetch=1, queues=(backlog, other)) as consumer:
        seen = []
        for _ in range(3):
            (message,) = consumer.receive(1)
            seen.append(message.payload)
            message.ack()
        assert "other" in seen


def test_a_lone_job_wakes_an_idle_consumer_at_once(url: str) -> None:
    """The wait ends with the push, not with its timeout."""
    waits = []
    with RedisConsumer(url) as consumer:
        for number in range(20):
            consumer.receive(1, seconds=0.01)
            publish(url, [number])
            pushed = time.perf_counter()
            (message,) = consumer.receive(1)
            waits.append(time.perf_counter() - pushed)
            message.ack()
    assert statistics.median(waits) < WAIT_SECONDS / 5


@pytest.mark.parametrize(("queue", "priority"), [(JOBS_QUEUE, 9), (account_queue("1"), 0)])
def test_an_idle_consumer_sees_other_lists_soon(url: str, queue: str, priority: int) -> None:
    """A wait on one list does not keep a consumer from the others for long."""
    with RedisConsumer(url, queues=(JOBS_QUEUE, account_queue("1"))) as consumer:
        consumer.receive(1, seconds=0.3)
        publish(url, ["job"], queue=queue, priority=priority)
        assert bodies(consumer.receive(1, seconds=SOON_SECONDS)) == ["job"]


def test_an_idle_consumer_waits_where_the_last_message_came_from(url: str, client: Redis) -> None:
    """There the next one wakes it at once, however many queues it consumes."""
    queues = (JOBS_QUEUE, account_queue("12345678"))
    monitored = client.monitor()  # type: ignore[no-untyped-call] # redis-py leaves it out
    with RedisConsumer(url, queues=queues) as consumer, monitored as monitor:
        for queue in queues:
            publish(url, ["lone"], queue=queue)
            assert len(consumer.receive(1)) == 1
            assert consumer.receive(1, seconds=5 * WAIT_SECONDS) == []
            client.echo(queue)
            waits = []
            while (command := monitor.next_command()["command"]) != f"ECHO {queue}":
                if command.startswith("BLMOVE"):
                    waits.append(command.split()[1])
            assert waits[-3:] == [queue] * 3


def test_waiting_consumers_neither_reorder_nor_double_messages(url: str) -> None:
    """Many wait on one list: each message goes to one of them, in the order of the producer."""
    consumers = [RedisConsumer(url, prefetch=1) for _ in range(4)]
    for consumer in consumers:
        consumer.receive(1, seconds=0.05)
    publish(url, range(4))
    taken = [message for consumer in consumers for message in consumer.receive(1)]
    assert bodies(taken) == [0, 1, 2, 3]
    for consumer in consumers:
        consumer.connection.close()


def test_messages_are_taken_off_a_server_whose_memory_is_full(url: str, client: Redis) -> None:
    """Where producers are refused, workers must go on, or nothing ever gets better."""
    publish(url, range(3))
    try:
        with RedisConsumer(url) as consumer:
            client.config_set("maxmemory", "1")
            messages = consumer.receive(3)
            assert bodies(messages) == [0, 1, 2]
            messages[0].ack()
            messages[1].requeue()
            consumer.channel.defer(messages[2].delivery_tag, 60)
        assert queue_depths(client, [JOBS_QUEUE]) == {JOBS_QUEUE: Depth(1, 1, 0)}
    finally:
        client.config_set("maxmemory", "0")


def test_a_server_that_refuses_is_asked_again(url: str, client: Redis) -> None:
    """An error of the server neither ends the consumer nor loses a message."""
    publish(url, ["job"])
    client.set(f"{JOBS_QUEUE}:leases", "of another type")
    with RedisConsumer(url) as consumer:
        assert consumer.receive(1, seconds=0.5) == []
        client.delete(f"{JOBS_QUEUE}:leases")
        assert bodies(consumer.receive(1)) == ["job"]


def test_a_server_that_forgot_the_script_is_told_it_again(url: str, client: Redis) -> None:
    """Servers forget scripts when they start, and when they are told to."""
    with RedisConsumer(url) as consumer:
        consumer.receive(1, seconds=0.1)
        client.script_flush()
        publish(url, ["job"])
        assert bodies(consumer.receive(1)) == ["job"]


def test_a_worker_reads_with_a_parser_that_can_pass_over_an_answer(url: str) -> None:
    """The store is read with hiredis, which redis-py would use here as well."""
    with RedisConsumer(url) as consumer:
        connection = consumer.channel.client.connection_pool.get_connection()
        assert isinstance(connection._parser._buffer, SocketBuffer)


def test_one_message_can_be_asked_for(url: str, client: Redis) -> None:
    """`basic_get` leases like any other take, and returns None from an empty queue."""
    publish(url, ["kept", "dropped"])
    with RedisConsumer(url, queues=()) as consumer:
        kept = consumer.channel.basic_get(JOBS_QUEUE)
        dropped = consumer.channel.basic_get(JOBS_QUEUE, no_ack=True)
        assert bodies([kept, dropped]) == ["kept", "dropped"]
        assert consumer.channel.basic_get(JOBS_QUEUE) is None
    assert queue_depths(client, [JOBS_QUEUE]) == {JOBS_QUEUE: Depth(1, 0, 0)}


def test_keys_can_have_a_prefix(url: str, client: Redis) -> None:
    """What kombu calls `global_keyprefix` is put before everything that this transport keeps."""
    with RedisConsumer(url, global_keyprefix="shared:", queues=()) as consumer:
        client.lpush(f"shared:{JOBS_QUEUE}", b"raw")
        message = consumer.channel.basic_get(JOBS_QUEUE)
        assert message.body == b"raw"
        assert all(key.startswith(b"shared:") for key in client.scan_iter())
