"""Trying everything that a worker needs, one finding a thing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from config.queues import JOBS_QUEUE, account_queue
from config.settings import Settings
from worker.messages.outgoing import Outgoing
from worker.messaging import broker
from worker.messaging.confirms import NotConfirmed
from worker.messaging.producers import confirmed_producer
from worker.operator.addresses import public_url, said
from worker.operator.rights import BROKER_RIGHTS, STORE_RIGHTS, missing_rights
from worker.store.connection import text
from worker.store.replies import classify

Verdict = Literal["works", "warning", "fails"]

# BLMOVE, which the Redis transport waits with, came with Redis 6.2; Valkey is a later one.
OLDEST_REDIS: Final = (6, 2)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was tried, how it went, and what to do if it did not go well."""

    verdict: Verdict
    what: str
    text: str


def check_broker(url: str, settings: Settings) -> Iterator[Finding]:
    """Connect, declare what a worker declares, and send a message through a queue of its own."""
    name = public_url(url)
    connection = broker.connection(url)
    errors: tuple[type[BaseException], ...] = (
        *connection.connection_errors,
        *connection.channel_errors,
        NotConfirmed,
        OperationalError,
    )
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    except errors as error:
        todo = "start it, or correct OVERTURE_BROKER_URL"
        yield Finding("fails", "broker", f"{name} cannot be used: {said(error, url)}; {todo}")
        return
    with connection:
        yield Finding("works", "broker", f"{name} answers")
        try:
            broker.declare(connection, [JOBS_QUEUE, *map(account_queue, settings.accounts)])
            yield Finding("works", "queues", "are declared")
        except errors as error:
            todo = (
                "a queue declared with other arguments must be deleted first; the user "
                "needs permission to configure"
            )
            yield Finding("fails", "queues", f"are refused: {said(error, url)}; {todo}")
        try:
            _echo(connection)
            yield Finding("works", "message", "a test message came back")
        except errors as error:
            todo = "the user needs permission to write and to read"
            yield Finding("fails", "message", f"is refused: {said(error, url)}; {todo}")


def _echo(connection: Connection) -> None:
    """Send a message to a queue that only this connection knows, and get it back."""
    name = f"{JOBS_QUEUE}.check-{uuid.uuid4()}"
    channel: Any = connection.channel()
    queue = Queue(name, durable=False, exclusive=True, auto_delete=True).bind(channel)
    queue.queue_declare()
    try:
        message = Outgoing(exchange="", routing_key=name, body=b"{}", message_id=name)
        confirmed_producer(connection).publish([message])
        if queue.get(no_ack=True) is None:
            raise NotConfirmed("it was confirmed but is not there")
    finally:
        queue.delete()


def check_store(store: Redis, url: str) -> Iterator[Finding]:
    """Ask the server for an answer, for its user's rights, and for how well it keeps its data."""
    name = public_url(url)
    client: Any = store  # redis-py gives this method no types
    try:
        store.ping()
        known = client.execute_command("HELLO")
        missing = missing_rights(store, STORE_RIGHTS)
    except RedisError as error:
        yield _unusable("store", url, error)
        return
    version = text({text(key): value for key, value in known.items()}.get("version")) or "0"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield Finding("fails", "store", f"{name} is version {version}; 6.2 or newer is needed")
        return
    yield Finding("works", "store", f"{name} answers")
    yield _rights("store rights", missing)
    yield from _durability(store)


def check_broker_rights(server: Redis, url: str) -> Iterator[Finding]:
    """Look whether a Redis or Valkey server's user may do what a worker does with queues."""
    try:
        server.ping()
        missing = missing_rights(server, BROKER_RIGHTS)
    except RedisError as error:
        yield _unusable("broker", url, error)
        return
    yield _rights("broker rights", missing)


def _unusable(what: str, url: str, error: RedisError) -> Finding:
    todo = classify(error).todo or f"start it, or correct OVERTURE_{what.upper()}_URL"
    return Finding("fails", what, f"{public_url(url)} cannot be used: {said(error, url)}; {todo}")


def _rights(what: str, missing: Sequence[str]) -> Finding:
    if not missing:
        return Finding("works", what, "the user may do all that a worker does")
    text = f"the user lacks {' '.join(missing)}; add this with ACL SETUSER and the user's name"
    return Finding("fails", what, text)


def _durability(store: Redis) -> Iterator[Finding]:
    try:
        found: Any = store.config_get("append*", "maxmemory*")
    except ResponseError:
        text = "cannot be read; make sure that appendonly is yes and maxmemory-policy is noeviction"
        yield Finding("warning", "durability", text)
        return
    fsync = found.get("appendfsync")
    if found.get("appendonly") != "yes":
        text = "appendonly is off: a server restart loses its data; set it to yes"
        yield Finding("warning", "durability", text)
    elif fsync != "always":
        what = "the last second" if fsync == "everysec" else "the last writes"
        text = f"appendfsync is {fsync}: a crash of the server can lose {what}; set it to always"
        yield Finding("warning", "durability", text)
    else:
        yield Finding("works", "durability", "appendonly, appendfsync always")
    policy = found.get("maxmemory-policy", "noeviction")
    if policy != "noeviction" and found.get("maxmemory") != "0":
        text = (
            f"maxmemory-policy is {policy}: jobs are forgotten when memory runs out; set noeviction"
        )
        yield Finding("warning", "eviction", text)
