"""kombu's Redis channel, connected to a primary alone, which may be for Sentinels to name."""

from __future__ import annotations

from typing import Any, Final

from kombu.transport import redis as kombu_redis
from redis import Connection, ConnectionPool, SSLConnection
from redis.exceptions import RedisError
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from config.redis_urls import Sentinels
from tasks.store.connection import DROP, prepare
from tasks.store.sentinels import sentinel_pool

# No "+" in these: kombu takes what stands before one for a transport, and does not parse the rest.
SCHEME: Final = "overture-redis"
TLS_SCHEME: Final = "overture-rediss"
# Behind Sentinels kombu's own transport would not do for those who publish and declare, either.
PRODUCER_SCHEME: Final = f"{SCHEME}-producer"
TLS_PRODUCER_SCHEME: Final = f"{TLS_SCHEME}-producer"
# The name under which kombu passes the Sentinels on to its channels.
SENTINELS_OPTION: Final = "sentinels"


class PrimaryChannel(kombu_redis.Channel):
    """Makes its connections as the store's are made: to a server that takes writes.

    Beside kombu's own options it knows `sentinels`, which name that server.
    """

    from_transport_options = (*kombu_redis.Channel.from_transport_options, SENTINELS_OPTION)
    sentinels: Sentinels | None = None
    # kombu's own, which its types leave out.
    keyprefix_fanout: str

    @property
    def connection_class(self) -> type[Connection]:  # type: ignore[override] # kombu only reads it
        """The class of a connection in the clear."""
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
    """For whoever publishes and declares."""

    Channel = PrimaryChannel
    # Whatever a server says to a call, Celery connects anew, for as long as it takes.
    connection_errors = (*kombu_redis.Transport.connection_errors, RedisError)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        if client.transport_cls.startswith(TLS_SCHEME) and not client.ssl:
            # kombu would turn verification off here.
            client.ssl = {"ssl_cert_reqs": "required"}
        super().__init__(client, **kwargs)
