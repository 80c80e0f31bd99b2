"""The rights that a Redis or Valkey user needs, and which of them it lacks.

Each command is tried, on a key that is deleted soon: asking the server (`ACL DRYRUN`) takes a right
that no worker needs. A server checks rights first, so any other answer, such as an error about the
key's type, means that the command is allowed.
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
# Within a transaction the other commands would only be queued.
_TRANSACTION: Final = frozenset({"multi", "exec"})
LIFE_MS: Final = "1000"
# Errors that are no refusal: the script is not loaded, or the key's slot moves.
_ALLOWED: Final = ("NOSCRIPT", "MOVED", "ASK", "TRYAGAIN")
SCRIPT: Final = "return 1"

# Each command with arguments that change nothing, or only a key that is deleted soon. The first
# ones make that key a string, so that the others fail on it; the last one deletes it.
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
# The rights on the store: key pattern to commands.
STORE_RIGHTS: Final = {"overture:*": _STORE}
# The rights in addition where replicas have to confirm.
COPY_RIGHTS: Final = {"overture:*": {"wait": ("0", "1")}}
# A write that a replica refuses, and a server without memory or disk space.
STORE_WRITE: Final = {"overture:*": {"set": _STORE["set"], "del": _STORE["del"]}}


def store_rights(*, replicas: int) -> Mapping[str, Arguments]:
    """Return the rights on a store of which `replicas` have to confirm writes."""
    if not replicas:
        return STORE_RIGHTS
    return {pattern: {**COPY_RIGHTS[pattern], **known} for pattern, known in STORE_RIGHTS.items()}


def missing_rights(store: Redis, needed: Mapping[str, Arguments]) -> tuple[str, ...]:
    """Try every right, on each primary of a cluster, and return those that are missing.

    A right is written as ACL SETUSER takes it: `+blmove`, `~overture:*`. Raises StoreError, also if
    writing is allowed but impossible, as on a server that is out of memory.
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
