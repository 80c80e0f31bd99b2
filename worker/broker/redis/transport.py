"""kombu's Redis transport with a consuming side that neither loses messages nor stalls.

Producers are kombu's own and notice nothing. Against the stock transport, which pops a message and
registers it as unacknowledged in a second step:

- a script takes messages and leases them in one step; nothing is lost in between (kombu #305),
- the leases of what is in hand are renewed, so that a slow job runs once (kombu #337) and the jobs
  of a killed worker run elsewhere within seconds,
- an acknowledgement makes room at once and cannot fail here (celery #8030, #8091, #9054),
- the server holds delayed messages, not the memory of a worker (celery #9849),
- bytes that are no message are delivered as such instead of breaking the event loop.
"""

from __future__ import annotations

from typing import Any, Final

from kombu.transport import TRANSPORT_ALIASES

from config.urls import with_schemes
from worker.broker.redis.channel import LeasingChannel
from worker.broker.redis.primary import (
    PRODUCER_SCHEME,
    SCHEME,
    TLS_PRODUCER_SCHEME,
    TLS_SCHEME,
    PrimaryTransport,
)

# How often kombu checks whether an answer is overdue.
HEALTH_SECONDS: Final = 2
# A silent server is noticed within about ten seconds, and no call hangs for longer.
DEFAULT_OPTIONS: Final = {
    "socket_timeout": 5.0,
    "socket_connect_timeout": 5.0,
    "socket_keepalive": True,
    "health_check_interval": HEALTH_SECONDS,
}

_OURS: Final = {
    "redis": SCHEME,
    "valkey": SCHEME,
    "rediss": TLS_SCHEME,
    "valkeys": TLS_SCHEME,
    "redis+socket": f"{SCHEME}+socket",
    "unix": f"{SCHEME}+socket",
}


class Transport(PrimaryTransport):
    """Consumes from Redis and Valkey without losing messages.

    Options beside kombu's own: `lease_seconds`, after which other workers take the messages of one
    that has stopped.
    """

    Channel = LeasingChannel
    channels: list[LeasingChannel]  # type: ignore[assignment] # kombu's own type is wider

    def __init__(self, client: Any, **kwargs: Any) -> None:
        client.transport_options = {**DEFAULT_OPTIONS, **client.transport_options}
        super().__init__(client, **kwargs)

    def _collect(self, connection: Any) -> None:
        """Drop a broken connection; kombu calls this instead of `close`.

        Its messages stay in hand: their jobs go on, and are acknowledged by the next connection.
        """
        for channel in list(self.channels):
            channel.lose()
        self.close_connection(connection)


def register() -> None:
    """Register the schemes of these transports with kombu."""
    for scheme in (SCHEME, TLS_SCHEME):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    for scheme in (PRODUCER_SCHEME, TLS_PRODUCER_SCHEME):
        TRANSPORT_ALIASES[scheme] = f"{PrimaryTransport.__module__}:PrimaryTransport"


def producer_url(url: str) -> str:
    """Return the URL for publishing to a master that Sentinels name."""
    return with_schemes(url, {"redis": PRODUCER_SCHEME, "rediss": TLS_PRODUCER_SCHEME})


def worker_url(url: str) -> str:
    """Return the URL with which a worker consumes through this transport.

    URLs of other brokers are returned unchanged; alternatives (`a;b`) each for itself.
    """
    # In a socket's URL kombu has another name for the database than redis-py.
    parts = (
        one.replace("?db=", "?virtual_host=") if one.startswith("unix://") else one
        for one in url.split(";")
    )
    return with_schemes(";".join(parts), _OURS)
