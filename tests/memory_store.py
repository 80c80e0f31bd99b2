"""A store in this process: the real scripts in a real Lua, on fakeredis instead of a server."""

from __future__ import annotations

from typing import Final

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from redis import Redis

from tasks.store.connection import prepare

# For tests of a promise that needs neither real disconnects nor a server's own files: each runs on
# a Valkey, on a cluster of three, and in memory, so that whoever is tested on the latter is tested
# on what keeps them too.
ON_EITHER_STORE: Final = pytest.mark.parametrize(
    "store", ["valkey", "cluster", pytest.param("memory", marks=pytest.mark.fast)], indirect=True
)


def memory_store(server: FakeServer | None = None) -> Redis:
    """Return a client of an empty store; a `server` of the caller's own can be disconnected.

    It speaks RESP2: fakeredis takes `HELLO` without a version for a change to that protocol, which
    a server does not, and which `tasks.store.connection.ask` sends before each of its commands.
    """
    server = server or FakeServer(server_type="valkey")
    return FakeStrictRedis(server=server, protocol=2, redis_connect_func=prepare)
