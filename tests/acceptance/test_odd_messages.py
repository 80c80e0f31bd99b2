"""Messages with odd properties or envelopes among jobs: each has its outcome, and no other suffers.

Headers are not the job: where there is a valid job, it is done.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import sha1, sha256
from pathlib import Path
from random import Random

import pytest
from celery import signature
from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE
from tests.broker_client import BrokerClient, Out
from tests.jobs import ONE_ACCOUNT, job_document
from tests.odd_messages import ON_RABBITMQ, ON_REDIS, headers, text, with_properties, written
from tests.overture_command import overture
from tests.raw_amqp import RawProducer, properties, short
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess
from worker.broker.brokers import broker_at
from worker.broker.rabbitmq.delivery import DELAY_EXCHANGE

GOOD = 60
WORKERS = 2
LARGE_BYTES = 40 * 1024 * 1024
MEBIBYTE = 1024 * 1024


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Put the account's limits out of the way."""
    return {
        **settings,
        "domain_api_url": simulator.url,
        "trusted_hosts": "127.0.0.1",
        "max_rate": 1000,
    }


def body(name: str) -> bytes:
    """Write a valid job."""
    return json.dumps({"jobId": name, "consumerId": f"consumer of {name}"}).encode()


# What holds no job that could be read, each with the octets of its properties.
NO_JOBS_ON_RABBITMQ = {
    "packed, as it says, but it is not": (
        b"{}",
        headers((b"compression", text(b"application/x-gzip"))),
    ),
    "Celery's, with arguments of its own": (
        b"[1, 2, 3]",
        headers((b"task", text(b"conversations.create")), (b"eta", b"T" + b"\xff" * 8)),
    ),
    "binary, with an odd type": (b"\x80\xff\x00", properties(content_type=short(b"\xff"))),
    "empty": (b"", properties(content_encoding=short(b"\xfe"))),
}
NO_JOBS_ON_REDIS = {
    "empty": b"",
    "binary": b"\x80\x04\x95\xff\x00",
    "nested deeply": b"[" * 100_000,
    "a number": b"7",
    "a body that is not base64": written(b"{}").replace(b'"e30="', b'"?{}"'),
    "an encoding that nobody knows": with_properties(b"{}", body_encoding="rot13"),
    "a body that is a list": written(b"{}").replace(b'"e30="', b"[1]"),
    "an envelope cut short": written(b"{}")[:-5],
}


def put(broker_url: str, queue: str, messages: Iterable[bytes | tuple[bytes, bytes]]) -> None:
    """Put messages on a queue: elements of a list, or bodies with the octets of properties."""
    if broker_url.startswith("redis"):
        with Redis.from_url(broker_url) as client:
            for element in messages:
                assert isinstance(element, bytes)
                client.lpush(queue, element)
        return
    with RawProducer(broker_url) as producer:
        for message in messages:
            assert isinstance(message, tuple)
            producer.publish(*message, exchange="", routing_key=queue.encode())


def odd_jobs(broker_url: str) -> dict[str, bytes | tuple[bytes, bytes]]:
    """Make a valid job in each odd way."""
    if broker_url.startswith("redis"):
        return {name: write(body(name)) for name, write in ON_REDIS.items()}
    return {name: (body(name), octets) for name, octets in ON_RABBITMQ.items()}


def no_jobs(broker_url: str) -> list[bytes | tuple[bytes, bytes]]:
    """Make what holds no job."""
    if broker_url.startswith("redis"):
        return list(NO_JOBS_ON_REDIS.values())
    return list(NO_JOBS_ON_RABBITMQ.values())


def test_odd_messages_have_their_outcome_and_no_job_beside_them_suffers(
    settings: dict[str, object], broker_url: str, client: BrokerClient
) -> None:
    """Nobody's job is done twice or given up, and no worker ends, or connects anew."""
    odd, none = odd_jobs(broker_url), no_jobs(broker_url)
    good = [json.dumps(job_document(number)).encode() for number in range(GOOD)]
    plain = [
        one if broker_url.startswith("redis") else (one, properties(delivery_mode=b"\x02"))
        for one in good
    ]
    messages = [*plain, *odd.values(), *none]
    Random(1).shuffle(messages)
    put(broker_url, JOBS_QUEUE, messages)
    with ExitStack() as stack:
        workers = [stack.enter_context(WorkerProcess(settings)) for _ in range(WORKERS)]
        out = client.wait_until(
            lambda out: len(out.results) + len(out.dead_letters) >= len(messages),
            "every message has an outcome",
            seconds=60,
        )
        statuses = [worker.stop() for worker in workers]
        logs = [worker.output() for worker in workers]
    client.take()
    ids = [result["jobId"] for result in out.results]
    assert Counter(ids) == Counter([*(f"job-{number}" for number in range(GOOD)), *odd])
    assert len(out.dead_letters) == len(none)
    assert {letter["error"]["code"] for letter in out.dead_letters} <= {
        "malformed_message",
        "invalid_job",
    }
    assert statuses == [0] * WORKERS
    for log in logs:
        assert log.count("Connected to") == 1, log
        assert "Traceback" not in log
    assert list(broker_at(broker_url).look(JOBS_QUEUE)) == []


@pytest.mark.xdist_group("rabbitmq")
def test_an_odd_routing_key_keeps_no_job_from_being_done(
    valkey_url: str, rabbit_url: str, simulator: SimulatorProcess
) -> None:
    """RabbitMQ's delays bind the jobs queue by a pattern, and a producer may use them."""
    settings: dict[str, object] = {
        "broker_url": rabbit_url,
        "store_url": valkey_url,
        **ONE_ACCOUNT,
        "domain_api_url": simulator.url,
        "trusted_hosts": "127.0.0.1",
    }
    with (
        BrokerClient(rabbit_url) as client,
        WorkerProcess(settings) as worker,
        RawProducer(rabbit_url) as producer,
    ):
        zeros = b".".join([b"0"] * 28)
        producer.publish(
            body("odd"),
            properties(),
            exchange=DELAY_EXCHANGE,
            routing_key=zeros + b".\xff\xfe." + JOBS_QUEUE.encode(),
        )
        client.put([job_document(1)])
        assert set(client.wait_for(2).by_job()) == {"odd", "job-1"}
        assert worker.output().count("Connected to") == 1


def test_a_message_beyond_all_bounds_leaves_its_beginning_size_and_digest(
    broker_url: str, client: BrokerClient, worker: WorkerProcess
) -> None:
    """It costs a worker no more than what is kept of it."""
    large = Random(1).randbytes(MEBIBYTE) * (LARGE_BYTES // MEBIBYTE) + b"the end"
    client.put([job_document(1)])
    client.wait_for(1)
    before = peak_bytes(worker)
    put(
        broker_url, JOBS_QUEUE, [large if broker_url.startswith("redis") else (large, properties())]
    )
    client.put([job_document(2)])
    out = client.wait_until(
        lambda out: len(out.results) == 2 and out.dead_letters, "both have an outcome", seconds=60
    )
    (letter,) = out.dead_letters
    assert letter["error"]["code"] == "malformed_message"
    assert str(len(large)) in letter["error"]["message"]
    # A Redis server knows no other digest, and hands no more than the beginning out.
    kind, digest = (
        ("rawSha1", sha1(large)) if broker_url.startswith("redis") else ("rawSha256", sha256(large))
    )
    assert digest.hexdigest() in letter["error"]["message"]
    assert (letter["rawBytes"], letter[kind]) == (len(large), digest.hexdigest())
    assert large.startswith(b64decode(letter["raw"]))
    assert peak_bytes(worker) - before < LARGE_BYTES / 2


def peak_bytes(worker: WorkerProcess) -> int:
    """Return how much memory a process has held at most."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def letter(name: str) -> bytes:
    """Write a dead letter."""
    return json.dumps(
        {
            "job": json.loads(body(name)),
            "status": "failed",
            "error": {"code": "rejected", "message": "because", "attempts": []},
            "failedAt": "2026-01-31T09:00:06.510Z",
        }
    ).encode()


# What a worker never writes, though it looks like it.
ODD_LETTERS = (
    b'{"status": "failed", "error": {"code": "x", "attempts": 5}}',
    b'{"status": "failed", "error": {"code": ["x"]}, "job": []}',
    b'{"status": "failed", "error": {}, "raw": {}, "rawEncoding": "base64"}',
    b'{"status": "failed", "error": {"code": "x", "attempts": [1]}, "failedAt": {}}',
    b'{"job": {"jobId": ["x"]}, "error": "because"}',
    b"\xff\xfe",
    b"[" * 100_000,
    b"",
)
# What the broker says itself of a message that it moved there, in ways that it does not.
ODD_DEATHS = (
    headers((b"x-death", text(b"never"))),
    headers((b"x-death", b"A\x00\x00\x00\x01V")),
    headers((b"x-death", b"T" + struct.pack(">Q", 10**15))),
)


def odd_letters(broker_url: str) -> list[bytes | tuple[bytes, bytes]]:
    """Make what may lie among dead letters and results, with a valid one in each odd way."""
    if broker_url.startswith("redis"):
        return [
            *(write(letter(name)) for name, write in ON_REDIS.items()),
            *ODD_LETTERS,
            *NO_JOBS_ON_REDIS.values(),
        ]
    return [
        *((letter(name), octets) for name, octets in ON_RABBITMQ.items()),
        *((one, properties()) for one in ODD_LETTERS),
        *((letter(f"dead {number}"), octets) for number, octets in enumerate(ODD_DEATHS)),
        *NO_JOBS_ON_RABBITMQ.values(),
    ]


def test_commands_pass_over_what_is_odd_among_dead_letters(
    settings: dict[str, object], broker_url: str, client: BrokerClient
) -> None:
    """They show all of it, and replay what holds a job; nothing is lost."""
    letters = odd_letters(broker_url)
    put(broker_url, DEAD_LETTERS_QUEUE, letters)
    listed = overture("dead-letters", "list", settings=settings)
    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, len(letters) + 1)
    exported = overture("dead-letters", "export", settings=settings)
    assert (exported.returncode, exported.stderr) == (0, "")
    assert len(exported.stdout.splitlines()) == len(letters)
    some = next(iter(odd_jobs(broker_url)))
    shown = overture("dead-letters", "show", some, settings=settings)
    assert json.loads(shown.stdout)["job"]["jobId"] == some
    replayed = overture("dead-letters", "replay", "--all", settings=settings)
    count = int(replayed.stdout.split()[1])
    assert count >= len(odd_jobs(broker_url))
    wait_until(
        lambda: client.waiting(JOBS_QUEUE) + client.waiting(DEAD_LETTERS_QUEUE) == len(letters),
        "what was not replayed is back",
    )
    assert client.waiting(JOBS_QUEUE) == count


def test_results_pass_over_what_is_odd(
    settings: dict[str, object], broker_url: str, client: BrokerClient
) -> None:
    """Peeking shows it, taking leaves what cannot be read where it is."""
    put(broker_url, RESULTS_QUEUE, odd_letters(broker_url))
    peeked = overture("results", "--peek", "--format", "table", settings=settings)
    assert "left in the queue" in peeked.stderr
    taken = overture("results", settings=settings)
    lines = taken.stdout.splitlines()
    assert len(lines) >= len(odd_jobs(broker_url))
    wait_until(
        lambda: client.waiting(RESULTS_QUEUE) + len(lines) == len(odd_letters(broker_url)),
        "what was not taken is back",
    )


def test_celery_callbacks_are_refused_by_name(client: BrokerClient, worker: WorkerProcess) -> None:
    """They are not run here, and a silent loss is worse; a countdown or an id is no callback."""
    del worker
    after = signature("sender.send", queue="elsewhere")
    client.send_task(job_document(1), link=after)
    client.send_task(job_document(2), link_error=after)
    client.send_task(job_document(3), chain=[after])
    client.send_task(job_document(4), chord=after)
    client.send_task(job_document(5), group_id="a-group", group_index=3)
    body = {"task": "conversations.create", "id": "x", "taskset": "a-group"}
    client.put(
        [
            {**body, "args": [job_document(6)], "callbacks": [dict(after)]},
            {**body, "args": [job_document(7)], "chord": dict(after)},
            {**body, "args": [job_document(8)], "callbacks": None, "chord": None},
        ]
    )
    out: Out = client.wait_for(8)
    assert {result["jobId"] for result in out.results} == {"job-5", "job-8"}
    assert set(out.codes().values()) == {"invalid_job"}
    said = {one["job"]["jobId"]: one["error"]["message"] for one in out.dead_letters}
    for number, name in enumerate(("link", "link_error", "chain", "chord"), 1):
        assert f"Celery's {name}," in said[f"job-{number}"]
