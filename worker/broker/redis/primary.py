"""kombu's Redis channel, connected only to a primary, which Sentinels may name."""

from __future__ import annotations

from typing import Any, Final

from kombu.transport import redis as kombu_redis
from redis import Connection, ConnectionPool, SSLConnection
from redis.exceptions import RedisError
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from config.redis_urls import Sentinels
from tasks.store.connection import DROP, prepare
from tasks.store.sentinels import sentinel_pool

# No "+" in these: kombu takes the part before it for the transport, and does not parse the rest.
SCHEME: Final = "overture-redis"
TLS_SCHEME: Final = "overture-rediss"
# With Sentinels producers need a transport of ours, too.
PRODUCER_SCHEME: Final = f"{SCHEME}-producer"
TLS_PRODUCER_SCHEME: Final = f"{TLS_SCHEME}-producer"
# The transport option with which kombu passes the Sentinels to its channels.
SENTINELS_OPTION: Final = "sentinels"


class PrimaryChannel(kombu_redis.Channel):
    """Connects like the store's client: only to a server that accepts writes.

    `sentinels` is a transport option beside kombu's own.
    """

    from_transport_options = (*kombu_redis.Channel.from_transport_options, SENTINELS_OPTION)
    sentinels: Sentinels | None = None
    # kombu's own, which its types leave out.
    keyprefix_fanout: str

    @property
    def connection_class(self) -> type[Connection]:  # type: ignore[override] # kombu only reads it
        """The class of a connection without TLS."""
        return SentinelManagedConnection if self.sentinels else Connection

    @property
    def connection_class_ssl(self) -> type[Connection]:  # type: ignore[override] # likewise
        """The class of a connection over TLS."""
        return SentinelManagedSSLConnection if self.sentinels else SSLConnection

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - kombu's signature
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc] # kombu's types leave it out
        return {**parameters, "retry": DROP, "redis_connect_func": prepare}

    def _get_pool(self, asynchronous: bool = False) -> ConnectionPool:  # noqa: FBT001, FBT002 - kombu's signature
        parameters = self._connparams(asynchronous)
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=parameters["db"])
        if self.sentinels is None:
            return ConnectionPool(**parameters)
        for name in ("host", "port"):
            del parameters[name]
        return sentinel_pool(self.sentinels, **parameters)


class PrimaryTransport(kombu_redis.Transport):
    """The transport for publishing and declaring."""

    Channel = PrimaryChannel
    # After any error of the server Celery reconnects, for as long as it takes.
    connection_errors = (*kombu_redis.Transport.connection_errors, RedisError)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        if client.transport_cls.startswith(TLS_SCHEME) and not client.ssl:
            # kombu would turn verification off here.
            client.ssl = {"ssl_cert_reqs": "required"}
        super().__init__(client, **kwargs)
