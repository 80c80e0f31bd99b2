"""Finds the master that Sentinels watch; many threads share an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, cast

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool

from config.redis_urls import SENTINEL_OPTIONS, Address, Sentinels, sentinels_of
from config.urls import for_redis_py
from tasks.store.replies import NoMasterYet, UnknownMaster

# The timeout of a Sentinel; the others can be asked instead.
ASK_SECONDS: Final = 1.0
# A Sentinel's text for a name that it does not watch.
_UNKNOWN: Final = "no such master"


class MasterFinder:
    """Asks the Sentinels for the master's address; redis-py's pools call it for each connection.

    A Sentinel that does not answer is asked last from then on, so that a process waits for a dead
    one only once. Threads that ask at the same time share one answer.
    """

    def __init__(self, sentinels: Sentinels) -> None:
        options = _options(sentinels.server_url)
        options.pop("db", None)
        options |= {"username": sentinels.username, "password": sentinels.password}
        self._clients: list[tuple[str, Redis]] = [
            (
                f"{host}:{port}",
                Redis(
                    host=host,
                    port=port,
                    socket_timeout=ASK_SECONDS,
                    socket_connect_timeout=ASK_SECONDS,
                    retry=Retry(NoBackoff(), 0),
                    **options,
                ),
            )
            for host, port in sentinels.addresses
        ]
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._found: Address | RedisError | None = None

    @property
    def clients(self) -> tuple[tuple[str, Redis], ...]:
        """A client of each Sentinel, by its address."""
        return tuple(self._clients)

    def discover_master(self, service_name: str) -> Address:
        """Return the address of the master of this name. Raises StoreError."""
        came_at = time.monotonic()
        with self._lock:
            if self._found is None or self._asked_at < came_at:
                self._asked_at = time.monotonic()
                self._found = self._ask(service_name)
            found = self._found
        if isinstance(found, RedisError):
            raise type(found)(*found.args)
        return found

    def _ask(self, name: str) -> Address | RedisError:
        errors: list[RedisError] = []
        for place in list(self._clients):
            address, client = place
            try:
                state: Any = client.sentinel_master(name)
            except RedisError as error:
                errors.append(_meaning(error, address, name))
            else:
                if state["is_master"] and not (state["is_sdown"] or state["is_odown"]):
                    return state["ip"], state["port"]
                errors.append(NoMasterYet(f"{address} says that the master {name} is down"))
                continue
            self._clients.remove(place)
            self._clients.append(place)
        # An error of a Sentinel that answered says more than a timeout.
        for kind in (NoMasterYet, UnknownMaster, AuthenticationError):
            if told := [error for error in errors if isinstance(error, kind)]:
                return told[0]
        said = "; ".join(str(error) for error in errors)
        return MasterNotFoundError(f"no Sentinel answers as one: {said}")


def sentinel_pool(sentinels: Sentinels, **options: Any) -> ConnectionPool:
    """Return a pool of connections to the master; `options` are redis-py's, for each of them."""
    known = {**_options(sentinels.server_url), **options}
    pool: Any = SentinelConnectionPool  # redis-py gives it no types
    return cast("ConnectionPool", pool(sentinels.master, finder_of(sentinels), **known))


@cache
def finder_of(sentinels: Sentinels) -> MasterFinder:
    """Return this process's finder, which all its pools share."""
    return MasterFinder(sentinels)


def silent_sentinels(url: str) -> Iterator[tuple[str, str]]:
    """Yield each Sentinel of a URL that does not answer, with the reason."""
    found = sentinels_of(url)
    for address, client in finder_of(found).clients if found else ():
        try:
            client.ping()
        except RedisError as error:
            yield f"the Sentinel {address}", str(error)


def _options(server_url: str) -> dict[str, Any]:
    """Return the options in a URL, without host and port."""
    read: Any = parse_url  # likewise
    options: dict[str, Any] = read(for_redis_py(server_url))
    for name in ("host", "port"):
        options.pop(name, None)
    # redis-py's pools choose the class of their connections by this.
    if options.pop("connection_class", None) is not None:
        options["ssl"] = True
    return options


def _meaning(error: RedisError, address: str, name: str) -> RedisError:
    if _UNKNOWN in str(error).lower():
        return UnknownMaster(f"{address} watches no master named {name}")
    if isinstance(error, AuthenticationError):
        options = " and ".join(SENTINEL_OPTIONS)
        return AuthenticationError(f"the Sentinel {address} has its own users ({options}): {error}")
    return MasterNotFoundError(f"{address}: {error}")
