"""Trying everything that a worker needs, one finding a thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from worker.operator.addresses import public_url, said

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
    """Ask the server for an answer, for a script, and for how well it keeps what it is told."""
    name = public_url(url)
    try:
        store.ping()
        store.eval("return redis.call('TIME')", 0)
        known: Any = store.info("server")
    except RedisError as error:
        todo = "start it, correct OVERTURE_STORE_URL, or allow its user to run commands and scripts"
        yield Finding("fails", "store", f"{name} cannot be used: {said(error, url)}; {todo}")
        return
    version = str(known.get("valkey_version") or known.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield Finding("fails", "store", f"{name} is version {version}; 6.2 or newer is needed")
        return
    yield Finding("works", "store", f"{name} answers and runs scripts")
    yield from _durability(store)


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
