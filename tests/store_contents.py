"""Everything that lies in a store, for tests that look for what must not lie there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redis import Redis


def everything_in(store: Redis) -> Iterator[str]:
    """Return every key, field and value; what is no text as its octets, each a character."""
    client: Any = store
    for key in client.scan_iter(count=1000):
        yield key.decode("latin-1")
        for part in _parts(client, key):
            yield part.decode("latin-1") if isinstance(part, bytes) else str(part)


def _parts(client: Any, key: bytes) -> Iterator[object]:
    match client.type(key).decode():
        case "string":
            yield client.get(key)
        case "hash":
            for field, value in client.hgetall(key).items():
                yield from (field, value)
        case "list":
            yield from client.lrange(key, 0, -1)
        case "set":
            yield from client.smembers(key)
        case "zset":
            yield from client.zrange(key, 0, -1)
        case "none":
            return
        case other:
            raise AssertionError(f"nothing here reads a {other}")
