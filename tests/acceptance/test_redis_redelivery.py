"""Whole workers on the Redis transport: what is killed, stopped or cut, no job is lost or stuck."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from config.names import JOBS_QUEUE
from tests.celery_events import Events
from tests.redis_consumer import RedisConsumer, bodies, publish
from tests.redis_server import RedisServer
from tests.redis_worker import RedisWorker
from tests.tcp_proxy import TCPProxy
from tests.waiting import wait_until
from tests.worker_process import ROOT
from worker.broker.redis.layout import Depth, queue_depths

LEASE_SECONDS = 1.5
SHORT_LEASE = {"LEASE_SECONDS": LEASE_SECONDS}


@pytest.fixture
def events(tmp_path: Path) -> Events:
    """Give what the workers of this test write down."""
    return Events(tmp_path)


def enqueue(url: str, numbers: Iterable[int], *, seconds: float = 0.01) -> None:
    """Enqueue jobs that take so long, as Celery's protocol 1 writes them."""
    publish(
        url,
        [{"task": "job", "id": str(number), "args": [number, seconds]} for number in numbers],
    )


def is_empty(store: Redis) -> bool:
    """Tell whether nothing of the jobs queue is left on the server."""
    return queue_depths(store, [JOBS_QUEUE]) == {JOBS_QUEUE: Depth(0, 0, 0)}


def job_number(envelope: dict[str, Any]) -> int:
    """Return which job kombu wrote down."""
    number: int = json.loads(base64.b64decode(envelope["body"]))["args"][0]
    return number


@pytest.mark.parametrize("moment", ["taken", "received", "done"])
def test_a_worker_killed_at_any_moment_loses_no_job(
    valkey_url: str, store: Redis, tmp_path: Path, events: Events, moment: str
) -> None:
    """Once the server has handed it out, before the job, after it: another worker does it."""
    enqueue(valkey_url, range(20))
    settings = {**SHORT_LEASE, "CRASH_AT": moment}
    with RedisWorker(valkey_url, tmp_path, settings) as first:
        assert first.wait(20) == -signal.SIGKILL
    with RedisWorker(valkey_url, tmp_path, settings):
        wait_until(lambda: is_empty(store), "everything is acknowledged")
    assert events.ended() == set(range(20))


def test_stock_kombu_loses_a_job_there(
    valkey_url: str, store: Redis, tmp_path: Path, events: Events
) -> None:
    """Why there is a transport of our own: popped, not yet registered, gone (kombu #305)."""
    enqueue(valkey_url, range(20))
    with RedisWorker(valkey_url, tmp_path, {"CRASH_AT": "taken"}, on_ours=False) as first:
        assert first.wait(20) == -signal.SIGKILL
    registered = [json.loads(record)[0] for record in store.hvals("unacked")]
    waiting = [json.loads(payload) for payload in store.lrange(JOBS_QUEUE, 0, -1)]
    left = {job_number(message) for message in registered + waiting}
    assert len(events.ended() | left) == 19


def test_the_job_of_a_killed_worker_runs_elsewhere_within_15_seconds(
    valkey_url: str, tmp_path: Path, events: Events
) -> None:
    """With the ordinary lease; the second worker is told that it is redelivered."""
    enqueue(valkey_url, [1], seconds=60)
    with RedisWorker(valkey_url, tmp_path) as first:
        wait_until(lambda: events.count("start")[1] == 1, "the job started")
        first.signal(signal.SIGKILL)
        killed = time.monotonic()
        with RedisWorker(valkey_url, tmp_path):
            wait_until(lambda: events.count("start")[1] == 2, "it started again", seconds=15)
    assert time.monotonic() - killed < 15
    assert events.redelivered() == {1}


def test_a_job_longer_than_its_lease_runs_once(
    valkey_url: str, store: Redis, tmp_path: Path, events: Events
) -> None:
    """Its lease is renewed, so an idle worker beside it does not get it."""
    enqueue(valkey_url, [1], seconds=4 * LEASE_SECONDS)
    with (
        RedisWorker(valkey_url, tmp_path, SHORT_LEASE),
        RedisWorker(valkey_url, tmp_path, SHORT_LEASE),
    ):
        wait_until(lambda: events.ended() == {1}, "the job is done")
        wait_until(lambda: is_empty(store), "it is acknowledged")
    assert events.count("start")[1] == 1


def test_a_worker_told_to_end_drains_and_gives_back_the_rest(
    valkey_url: str, store: Redis, tmp_path: Path, events: Events
) -> None:
    """What runs is finished, once, however long; what waited inside runs elsewhere right after."""
    enqueue(valkey_url, range(6), seconds=3 * LEASE_SECONDS)
    settings = {**SHORT_LEASE, "PREFETCH": 3}
    with RedisWorker(valkey_url, tmp_path, settings, threads=2) as ending:
        wait_until(lambda: len(events.count("start")) == 2, "two jobs run")
        ending.signal(signal.SIGTERM)
        with RedisWorker(valkey_url, tmp_path, SHORT_LEASE):
            assert ending.wait(20) == 0
            ended = time.monotonic()
            wait_until(lambda: len(events.count("start")) == 6, "the others run")
            assert time.monotonic() - ended < LEASE_SECONDS
            wait_until(lambda: is_empty(store), "everything is acknowledged")
    assert events.count("start") == dict.fromkeys(range(6), 1)


def test_a_worker_that_was_stopped_is_replaced_and_comes_back(
    valkey_url: str, store: Redis, tmp_path: Path, events: Events
) -> None:
    """Its job runs elsewhere meanwhile; when it goes on, it works on as if nothing had been."""
    enqueue(valkey_url, [1], seconds=1)
    with RedisWorker(valkey_url, tmp_path, SHORT_LEASE) as stopped:
        wait_until(lambda: events.count("start")[1] == 1, "the job started")
        stopped.signal(signal.SIGSTOP)
        with RedisWorker(valkey_url, tmp_path, SHORT_LEASE):
            wait_until(lambda: events.ended() == {1}, "another worker did it")
        stopped.signal(signal.SIGCONT)
        enqueue(valkey_url, [2])
        wait_until(lambda: events.ended() == {1, 2}, "the worker works on")
        wait_until(lambda: is_empty(store), "everything is acknowledged")


def test_a_server_that_dies_while_all_slots_are_busy_stalls_nothing(
    tmp_path: Path, events: Events
) -> None:
    """Acknowledgements that fail are made up for; every job runs once, and new ones follow."""
    server = RedisServer(tmp_path).start()
    try:
        enqueue(server.url, range(4), seconds=2)
        with RedisWorker(server.url, tmp_path, SHORT_LEASE) as worker:
            wait_until(lambda: len(events.count("start")) == 4, "all slots are busy")
            server.kill()
            wait_until(lambda: events.ended() == set(range(4)), "the jobs ended meanwhile")
            server.start()
            enqueue(server.url, range(4, 24))
            with server.client() as client:
                wait_until(lambda: is_empty(client), "everything is acknowledged")
            assert worker.process.poll() is None
    finally:
        server.stop()
    assert events.count("end") == dict.fromkeys(range(24), 1)


def test_a_connection_that_went_silent_is_replaced(
    valkey_server: RedisServer, valkey_url: str, tmp_path: Path, events: Events
) -> None:
    """A half-open connection, which no error ever tells of, is noticed by its silence."""
    with TCPProxy(valkey_server.port) as proxy, RedisWorker(proxy.url, tmp_path):
        enqueue(valkey_url, [1])
        wait_until(lambda: events.ended() == {1}, "the worker is up")
        proxy.silence()
        enqueue(valkey_url, [2])
        wait_until(lambda: events.ended() == {1, 2}, "the worker connected anew")


def test_a_delay_outlives_the_worker_that_asked_for_it(valkey_url: str, store: Redis) -> None:
    """Put off, then killed: the message comes when it is due."""
    publish(valkey_url, ["later"])
    program = f"""
import os, signal
from tests.celery_events import Events
from tests.redis_consumer import RedisConsumer
from tests.waiting import wait_until
from worker.broker.redis.layout import queue_depths
consumer = RedisConsumer({valkey_url!r})
(message,) = consumer.receive(1)
consumer.channel.defer(message.delivery_tag, 1.0)
client = consumer.connection.default_channel.client
wait_until(lambda: client.zcard("{JOBS_QUEUE}:delayed"), "the server knows")
os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=20)
    assert died.returncode == -signal.SIGKILL
    assert queue_depths(store, [JOBS_QUEUE]) == {JOBS_QUEUE: Depth(0, 1, 0)}
    with RedisConsumer(valkey_url) as consumer:
        assert bodies(consumer.receive(1)) == ["later"]
