"""`overture find` and `overture forget`: what is held of a person, and that it is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from config.names import EXCHANGE_NAME, FAILED_KEY, JOBS_QUEUE
from tasks.messages.outgoing import Outgoing
from tasks.store.answers import Forgotten
from tasks.store.connection import Keys
from tests.jobs import ACCOUNT, job_document, make_job
from tests.memory_servers import MemoryServers, memory_servers

# A text that is found wherever something of the person is left.
PERSON = "canary-7f3a"


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServers]:
    """Give a pool that has opened a conversation with a person and with others."""
    with memory_servers(monkeypatch) as found:
        with found.broker.connection() as connection:
            found.broker.declare(connection, [JOBS_QUEUE])
        do(found, 1, PERSON)
        do(found, 2, "somebody")
        do(found, 3, PERSON, "rejected")
        yield found


def do(servers: MemoryServers, number: int, consumer_id: str, code: Any = None) -> None:
    """Have a worker do a job, and publish a dead letter if it fails."""
    document = job_document(number, consumerId=consumer_id, metadata={"name": consumer_id})
    job = make_job(number, consumerId=consumer_id, metadata={"name": consumer_id})
    servers.begin(job)
    outcome = servers.end(job, document, code)
    if code:
        put(servers, outcome.body, exchange=EXCHANGE_NAME, key=FAILED_KEY)


def put(servers: MemoryServers, body: bytes, *, exchange: str = "", key: str = JOBS_QUEUE) -> None:
    """Put a message on the broker."""
    with servers.broker.connection() as connection:
        servers.broker.producer(connection).publish(
            [Outgoing(exchange=exchange, routing_key=key, body=body, message_id="m")]
        )


def found(servers: MemoryServers, *options: str) -> list[dict[str, Any]]:
    """Return what `overture find` tells programs."""
    documents: list[dict[str, Any]] = json.loads(
        servers.run("find", *options, "--format", "json").stdout
    )
    return documents


def everything(servers: MemoryServers) -> bytes:
    """Return all keys and values of the store."""
    store: Any = servers.store
    parts = []
    for key in store.scan_iter():
        kind = store.type(key)
        value = {
            b"string": store.get,
            b"hash": store.hgetall,
            b"set": store.smembers,
            b"list": lambda name: store.lrange(name, 0, -1),
            b"zset": lambda name: store.zrange(name, 0, -1),
        }[kind](key)
        parts.append(f"{key!r} {value!r}".encode())
    return b"\n".join(parts)


def test_a_consumers_jobs_are_found(servers: MemoryServers) -> None:
    """Those that ended, and one that waits for its time."""
    servers.ledger.note_wait(make_job(4, consumerId=PERSON), seconds=60, waits_for="notBefore")
    rows = found(servers, "--consumer", PERSON)
    assert {(row["jobId"], row["state"], row["status"]) for row in rows} == {
        ("job-1", "done", "created"),
        ("job-3", "done", "failed:rejected"),
        ("job-4", "waiting", None),
    }
    assert {row["conversationId"] for row in rows} == {f"conversation-of-{PERSON}", None}
    nobody = servers.run("find", "--consumer", "nobody")
    assert (nobody.exit_code, nobody.stderr[:26]) == (1, "overture: no job is known:")


def test_a_conversations_job_is_found(servers: MemoryServers) -> None:
    """By the id that LivePerson gave it."""
    (row,) = found(servers, "--conversation", "conversation-of-somebody")
    assert (row["jobId"], row["accountId"]) == ("job-2", ACCOUNT)
    assert servers.run("find", "--conversation", "another").exit_code == 1


def test_what_is_held_of_a_person_is_gone(servers: MemoryServers) -> None:
    """From the ledger and the dead letters; others' stays, and what is done stays done."""
    servers.store.set(Keys(ACCOUNT).visit(PERSON), "visitor session")
    servers.store.sadd(Keys(ACCOUNT).doubts(PERSON), "job-3")
    result = servers.run("forget", "--consumer", PERSON, "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "erased 2 jobs and 1 dead letter\n"
    assert PERSON.encode() not in everything(servers)
    assert servers.run("find", "--consumer", PERSON).exit_code == 1
    assert found(servers, "--conversation", "conversation-of-somebody")
    assert servers.run("find", "--conversation", f"conversation-of-{PERSON}").exit_code == 1
    assert servers.run("dead-letters", "list", "--format", "jsonl").stdout == ""
    job = make_job(1, consumerId=PERSON, metadata={"name": PERSON})
    assert servers.begin(job) == Forgotten()
    again = servers.run("forget", "--consumer", PERSON, "--yes")
    assert again.stdout == "erased 0 jobs and 0 dead letters\n"
    story = servers.run("status", "job-1").stdout
    assert story.startswith(f"job job-1 of account {ACCOUNT}: forgotten\n")
    assert servers.run("cancel", "job-1", "--yes").exit_code == 1


def test_what_is_left_is_named(servers: MemoryServers) -> None:
    """A job under way, and messages that lie in queues: they are not the command's to take."""
    under_way = make_job(4, consumerId=PERSON)
    servers.begin(under_way)
    put(servers, json.dumps(job_document(5, consumerId=PERSON)).encode())
    result = servers.run("forget", "--consumer", PERSON, "--yes")
    assert result.exit_code == 1
    said = result.stderr.splitlines()
    assert said[0].startswith(
        "overture: job job-4 is sending and left alone: overture cancel job-4"
    )
    assert said[1] == f"overture: 1 message of this consumer in {JOBS_QUEUE}: take it off yourself"
    (row,) = found(servers, "--consumer", PERSON)
    assert row["jobId"] == "job-4"


def test_nothing_is_erased_without_a_yes(
    servers: MemoryServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script has to give it."""
    monkeypatch.setattr("sys.stdin", None)
    assert servers.run("forget", "--consumer", PERSON).exit_code == 1
    assert len(found(servers, "--consumer", PERSON)) == 2
