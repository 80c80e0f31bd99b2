"""The rights that a Redis or Valkey user needs, and which of them it lacks.

What a user may do is found out by doing it, on keys of a moment's life: to ask the server
(`ACL DRYRUN`) takes a right that no worker needs. A server looks at the rights first, so any other
answer, such as an error about the key's type, means that the command is allowed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from tasks.store.cluster import keys_on_each, needs_asking
from tasks.store.replies import classify

# Commands in the order in which they are tried, each with its arguments; KEY stands for a key.
Arguments = Mapping[str, tuple[str, ...]]

KEY: Final = "KEY"
# Whoever is in one would have the other commands queued.
_TRANSACTION: Final = frozenset({"multi", "exec"})
LIFE_MS: Final = "1000"
# Errors that say nothing against it: the script is new there, or the key's slot moves.
_ALLOWED: Final = ("NOSCRIPT", "MOVED", "ASK", "TRYAGAIN")
SCRIPT: Final = "return 1"

# Each command with arguments that change nothing, or only a key that is gone soon. The first ones
# make that key a string, so that nothing becomes of the others; the last one takes it away.
_STORE: Final[Arguments] = {
    "set": (KEY, "1", "PX", LIFE_MS),
    "eval": (SCRIPT, "1", KEY),
    "evalsha": ("0" * 40, "1", KEY),
    "exists": (KEY,),
    "get": (KEY,),
    "hdel": (KEY, "f"),
    "hexists": (KEY, "f"),
    "hget": (KEY, "f"),
    "hgetall": (KEY,),
    "hincrby": (KEY, "f", "1"),
    "hkeys": (KEY,),
    "hlen": (KEY,),
    "hmget": (KEY, "f"),
    "hset": (KEY, "f", "1"),
    "hsetnx": (KEY, "f", "1"),
    "llen": (KEY,),
    "lrange": (KEY, "0", "1"),
    "persist": (KEY,),
    "pexpire": (KEY, LIFE_MS),
    "ping": (),
    "pttl": (KEY,),
    "sadd": (KEY, "m"),
    "rpush": (KEY, "m"),
    "scan": ("0", "COUNT", "1"),
    "scard": (KEY,),
    "script|load": (SCRIPT,),
    "sismember": (KEY, "m"),
    "smembers": (KEY,),
    "srem": (KEY, "m"),
    "time": (),
    "zadd": (KEY, "1", "m"),
    "zcard": (KEY,),
    "zcount": (KEY, "0", "1"),
    "zrangebyscore": (KEY, "0", "1"),
    "zrem": (KEY, "m"),
    "zremrangebyscore": (KEY, "0", "1"),
    "zscore": (KEY, "m"),
    "del": (KEY,),
}
# What is needed of the store, as key pattern and commands.
STORE_RIGHTS: Final = {"overture:*": _STORE}
# What is needed as well where replicas have to confirm.
COPY_RIGHTS: Final = {"overture:*": {"wait": ("0", "1")}}
# One write that a server without memory or disk space, or a replica, does not take.
STORE_WRITE: Final = {"overture:*": {"set": _STORE["set"], "del": _STORE["del"]}}


def store_rights(*, replicas: int) -> Mapping[str, Arguments]:
    """Return what is needed of the store, of which so many replicas have to confirm."""
    if not replicas:
        return STORE_RIGHTS
    return {pattern: {**COPY_RIGHTS[pattern], **known} for pattern, known in STORE_RIGHTS.items()}


def missing_rights(store: Redis, needed: Mapping[str, Arguments]) -> tuple[str, ...]:
    """Try everything that is needed, on each primary of a cluster, and return what is not allowed.

    Each right is written as ACL SETUSER takes it: `+blmove`, `~overture:*`. Raises StoreError, also
    of a server that may be written to and cannot be: one that is out of memory, say.
    """
    rules: dict[str, None] = {}
    for pattern, commands in needed.items():
        tried = {"asking": (), **commands} if needs_asking(store) else commands
        for server, key in keys_on_each(store, partial(_key, pattern)):
            for name, arguments in tried.items():
                command = [*name.split("|"), *(key if part is KEY else part for part in arguments)]
                if refusal := _refusal(server, command):
                    rules[f"~{pattern}" if "access" in refusal else f"+{name}"] = None
    return tuple(rules)


def _key(pattern: str) -> str:
    return pattern.replace("*", f"check:{uuid.uuid4()}")


def _refusal(server: Redis, command: Sequence[str]) -> str:
    """Return why a command may not be run; empty if it may."""
    pool: Any = server.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_command(*command)
        connection.read_response()
    except RedisError as error:
        trouble = classify(error)
        if "NOPERM" in trouble.cause:
            return trouble.cause
        is_unable = trouble.kind in {"gone", "not yet"} and not trouble.cause.startswith(_ALLOWED)
        if is_unable or not connection.is_connected:
            raise
    finally:
        if command[0] in _TRANSACTION:
            connection.disconnect()
        pool.release(connection)
    return ""
