"""The rights that a Redis or Valkey user needs where the server is the broker."""

from __future__ import annotations

from typing import Final

from tasks.store.rights import KEY, LIFE_MS, SCRIPT, Arguments

# In the order of `tasks/store/rights.py`: the first ones make the key a string.
_QUEUES: Final[Arguments] = {
    "eval": (SCRIPT, "1", KEY),
    "evalsha": ("0" * 40, "1", KEY),
    "exec": (),
    "exists": (KEY,),
    "hdel": (KEY, "f"),
    "hget": (KEY, "f"),
    "hset": (KEY, "f", "1"),
    "llen": (KEY,),
    "lpush": (KEY, "1"),
    "lrange": (KEY, "0", "1"),
    "multi": (),
    "pexpire": (KEY, LIFE_MS),
    "ping": (),
    "rpop": (KEY,),
    "rpush": (KEY, "1"),
    "blmove": (KEY, KEY, "LEFT", "LEFT", "0.01"),
    "script|load": (SCRIPT,),
    "time": (),
    "zadd": (KEY, "1", "m"),
    "zcard": (KEY,),
    "zrangebyscore": (KEY, "0", "1"),
    "zrem": (KEY, "m"),
    "zscore": (KEY, "m"),
    "del": (KEY,),
}
_BINDINGS: Final[Arguments] = {
    "sadd": (KEY, "1"),
    "smembers": (KEY,),
    "srem": (KEY, "1"),
}
# The rights on the broker: key pattern to commands.
BROKER_RIGHTS: Final = {"conversations.*": _QUEUES, "_kombu.*": _BINDINGS}
# A write that a replica refuses, and a server without memory or disk space.
BROKER_WRITE: Final = {"conversations.*": {"lpush": _QUEUES["lpush"], "del": _QUEUES["del"]}}
