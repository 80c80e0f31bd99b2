"""Trying everything that a worker needs, one finding a thing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from config.urls import public_url, said
from console.admin.records import troubles, workers_alive
from console.admin.rights import BROKER_RIGHTS, STORE_RIGHTS, missing_rights
from tasks.store.connection import text
from tasks.store.replies import advice

Verdict = Literal["works", "warning", "fails"]

# BLMOVE, which the Redis transport waits with, came with Redis 6.2; Valkey is a later one.
OLDEST_REDIS: Final = (6, 2)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was tried, how it went, and what to do if it did not go well."""

    verdict: Verdict
    what: str
    text: str


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
    if not missing:
        yield from _workers(store)
    yield from _durability(store)


def _workers(store: Redis) -> Iterator[Finding]:
    """Pass on what the workers that run find wrong, such as a results queue that is full."""
    for worker, words in troubles(store, workers_alive(store)).items():
        yield Finding("warning", "worker", f"{worker} is held up: {words}")


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
    todo = advice(error, f"start it, or correct OVERTURE_{what.upper()}_URL")
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
