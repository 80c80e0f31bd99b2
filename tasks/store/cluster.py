"""A cluster as the store: the node of a key, and only errors that every caller knows.

Nothing outside this file asks whether the store is a cluster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's
    MovedError,
    RedisClusterException,
    RedisError,
    SlotNotCoveredError,
)
from redis.retry import Retry

from config.redis_urls import Cluster
from tasks.store.replies import WrongServer

# The name of a server, and the pool of connections to it.
Place = tuple[str, ConnectionPool]

# The timeout of connecting to a node; the others can be asked instead.
CONNECT_SECONDS: Final = 1.5
# How often a command is redirected, or tried on another node.
ATTEMPTS: Final = 2

_NO_NODE: Final = "cluster support disabled"


class ClusterClient(RedisCluster):
    """redis-py's client of a cluster; it raises only RedisError.

    Creating it connects to a node, to ask for the others.
    """

    def __init__(self, cluster: Cluster, **options: Any) -> None:
        read: Any = parse_url  # redis-py gives it no types
        known: dict[str, Any] = read(cluster.node_url)
        for name in ("host", "port", "db"):
            known.pop(name, None)
        if known.pop("connection_class", None) is not None:
            known["ssl"] = True
        node: Any = ClusterNode  # likewise
        nodes = [node(host, port) for host, port in cluster.addresses]
        with _store_errors():
            super().__init__(
                startup_nodes=nodes, retry=Retry(NoBackoff(), ATTEMPTS), **known, **options
            )

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the node that has its key. Raises RedisError."""
        with _store_errors():
            return cast("Any", super()).execute_command(*args, **options)


def primaries(store: Redis) -> dict[str, Redis]:
    """Return a client of each primary, by its name; without a cluster, the store itself as ""."""
    if not isinstance(store, RedisCluster):
        return {"": store}
    nodes: Any = store.get_primaries()
    return {node.name: store.get_redis_connection(node) for node in nodes}


def server_of(cluster: RedisCluster, key: str) -> tuple[str, Redis]:
    """Return the name of the server that has a key, and a client of it. Raises RedisError."""
    with _store_errors():
        node = cast("Any", cluster).get_node_from_key(key)
        return node.name, cluster.get_redis_connection(node)


def keys_on_each(store: Redis, make: Callable[[], str]) -> Iterator[tuple[Redis, str]]:
    """Yield each primary with a key that belongs to it; `make` returns keys to try."""
    for name, server in primaries(store).items():
        key = make()
        while isinstance(store, RedisCluster) and server_of(store, key)[0] != name:
            key = make()
        yield server, key


def needs_asking(store: Redis) -> bool:
    """Tell whether a call may need ASKING, at the node that a key's slot is moving to."""
    return isinstance(store, RedisCluster)


def place_finder(store: Redis) -> Callable[[Sequence[str]], Place]:
    """Return the function that tells which server has some keys.

    Without keys, or if no server has them now, it is any node.
    """
    # What the store is, is asked here, not for each call.
    if not isinstance(store, RedisCluster):
        place = "", store.connection_pool
        return lambda _: place
    cluster: Any = store

    def place_of(keys: Sequence[str]) -> Place:
        node = cluster.get_default_node()
        if keys:
            with contextlib.suppress(SlotNotCoveredError):
                node = cluster.get_node_from_key(keys[0])
        return node.name, _pool(cluster, node)

    return place_of


def place_named_in(store: Redis, error: AskError) -> Place | None:
    """Return the server that a redirection names, and its pool; None if it is not known yet.

    After MOVED the slot is looked for there from then on.
    """
    cluster = cast("Any", store)
    if isinstance(error, MovedError):
        with contextlib.suppress(KeyError):
            cluster.nodes_manager.move_slot(error)
    node: Any = cluster.get_node(host=error.host, port=error.port)
    if node is None:
        look_again(store)
        node = cluster.get_node(host=error.host, port=error.port)
    return (node.name, _pool(cluster, node)) if node is not None else None


def look_again(store: Redis, *, failed: str = "") -> None:
    """Read a cluster's map of slots again, after a node `failed`."""
    if isinstance(store, RedisCluster):
        with contextlib.suppress(RedisClusterException, RedisError, OSError):
            store.nodes_manager.initialize(last_failed_node_name=failed or None)


def drop_idle(store: Redis) -> None:
    """Close idle connections, which may lead to a former primary; not needed in a cluster."""
    if not isinstance(store, RedisCluster):
        store.connection_pool.disconnect(inuse_connections=False)


def _pool(cluster: Any, node: Any) -> ConnectionPool:
    if node.redis_connection is None:
        cluster.nodes_manager.create_redis_connections([node])
    return cast("ConnectionPool", cluster.get_redis_connection(node).connection_pool)


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except RedisClusterException as error:
        raise _meaning(error) from error


def _meaning(error: BaseException) -> RedisError:
    """Return the server's error that caused one of redis-py's own."""
    below = error.__cause__ or error.__context__
    while below is not None:
        if isinstance(below, RedisError):
            if _NO_NODE in str(below):
                return WrongServer("the server is no node of a cluster: name it as redis://host")
            return below
        below = below.__cause__ or below.__context__
    if isinstance(error, SlotNotCoveredError) or "not covered" in str(error):
        return ClusterDownError(str(error), status_code="CLUSTERDOWN")
    return ConnectionError(str(error))
