"""What `overture check` tries: everything that a worker needs, with a finding for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from config.names import JOBS_QUEUE, account_queue
from config.settings import Settings
from config.urls import public_url, said
from tasks.store.batches import COPY_MS
from tasks.store.cluster import primaries
from tasks.store.connection import greeting, open_store, text
from tasks.store.pulse import troubles_of, workers_seen
from tasks.store.replies import advice, classify
from tasks.store.rights import missing_rights, store_rights
from tasks.store.sentinels import silent_sentinels
from worker.broker.base import Broker, connect_at_once
from worker.broker.confirms import NotConfirmed
from worker.finding import Finding

# The Redis transport waits with BLMOVE, which came with Redis 6.2; every Valkey has it.
OLDEST_REDIS: Final = (6, 2)


# The longest time for one answer of the broker.
ANSWER_SECONDS: Final = 5.0


def check_broker(broker: Broker, settings: Settings) -> Iterator[Finding]:
    """Connect, declare what a worker declares, publish and read, and try the rights."""
    yield from _check_queues(broker, [JOBS_QUEUE, *map(account_queue, settings.accounts)])
    yield from map(partial(_silent, "broker"), broker.silent())
    try:
        missing = broker.missing_rights()
    except RedisError as error:
        yield _unusable("broker", broker.url, error)
        return
    if missing is not None:
        yield _rights("broker rights", missing)


def _check_queues(broker: Broker, job_queues: Sequence[str]) -> Iterator[Finding]:
    name = public_url(broker.url)
    connection = broker.connection(answer_seconds=ANSWER_SECONDS)
    errors: tuple[type[BaseException], ...] = (
        *connection.connection_errors,
        *connection.channel_errors,
        NotConfirmed,
        OperationalError,
    )
    try:
        connect_at_once(connection)
    except errors as error:
        todo = advice(error, "start it, or correct OVERTURE_BROKER_URL")
        text = f"{name} cannot be used: {said(error, broker.url)}; {todo}"
        yield Finding("fails", "broker", text)
        return
    try:
        yield Finding("works", "broker", f"{name} answers")
        yield from broker.check(connection, job_queues)
    except errors as error:
        todo = "check it, and the network on the way there"
        text = f"{name} breaks off: {said(error, broker.url)}; {todo}"
        yield Finding("fails", "broker", text)
    finally:
        connection.collect()


def check_store_at(url: str, *, replicas: int = 0) -> Iterator[Finding]:
    """Connect to the store and check it; `replicas` of its replicas must confirm writes."""
    try:
        url, store = open_store(url, connections=1)
    except RedisError as error:
        yield _unusable("store", url, error)
        return
    with closing(store):
        yield from check_store(store, url, replicas=replicas)
    yield from map(partial(_silent, "store"), silent_sentinels(url))


def check_store(store: Redis, url: str, *, replicas: int = 0) -> Iterator[Finding]:
    """Check that the server answers, its user's rights, and how durable its data are."""
    name = public_url(url)
    try:
        known = _first(store).execute_command("HELLO")
        missing = missing_rights(store, store_rights(replicas=replicas))
    except RedisError as error:
        yield _unusable("store", url, error)
        return
    version = text(greeting(known).get("version")) or "0"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield Finding("fails", "store", f"{name} is version {version}; 6.2 or newer is needed")
        return
    yield Finding("works", "store", f"{name} answers")
    yield _rights("store rights", missing)
    if not missing:
        yield from _workers(store)
    for place, server in primaries(store).items():
        for finding in (*_durability(server), *_replicas(server, replicas)):
            yield replace(finding, what=f"{finding.what} {place}".rstrip())


def _first(store: Redis) -> Any:
    return next(iter(primaries(store).values()))  # redis-py gives its methods no types


def _workers(store: Redis) -> Iterator[Finding]:
    """Report the troubles of running workers, such as a full results queue."""
    for worker, words in troubles_of(workers_seen(store)).items():
        yield Finding("warning", "worker", f"{worker} is held up: {words}")


def _silent(what: str, server: tuple[str, str]) -> Finding:
    place, words = server
    return Finding("warning", what, f"{place} does not answer: {words}; others stand in for it")


def _unusable(what: str, url: str, error: RedisError) -> Finding:
    todo = advice(error, f"start it, or correct OVERTURE_{what.upper()}_URL")
    return Finding("fails", what, f"{public_url(url)} cannot be used: {said(error, url)}; {todo}")


def _rights(what: str, missing: Sequence[str]) -> Finding:
    if not missing:
        return Finding("works", what, "the user may do all that a worker does")
    text = f"the user lacks {' '.join(missing)}; add this with ACL SETUSER and the user's name"
    return Finding("fails", what, text)


def _replicas(store: Redis, wanted: int) -> Iterator[Finding]:
    if not wanted:
        return
    try:
        found = int(cast("Any", store).wait(wanted, COPY_MS))
    except RedisError as error:
        yield Finding("fails", "replicas", f"cannot be asked: {classify(error).cause}")
        return
    if found >= wanted:
        yield Finding("works", "replicas", f"{found} confirm what is written")
        return
    text = (
        f"{found} confirm what is written, and OVERTURE_STORE_REPLICAS is {wanted}: jobs wait; "
        "start more, or lower it"
    )
    yield Finding("fails", "replicas", text)


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
