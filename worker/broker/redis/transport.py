"""kombu's Redis transport with a consuming side that neither loses messages nor stalls.

Producers are kombu's own and notice nothing. Against the stock transport, which pops a message and
registers it as unacknowledged in a second step:

- a script takes messages and leases them in one step; nothing is lost in between (kombu #305),
- the leases of what is in hand are renewed, so that a slow job runs once (kombu #337) and the jobs
  of a killed worker run elsewhere within seconds,
- an acknowledgement frees its slot at once and cannot fail here (celery #8030, #8091, #9054),
- a delay is kept by the server, not in the memory of a worker (celery #9849),
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

# How often kombu looks whether an answer is overdue.
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

    Options beside kombu's own: `lease_seconds`, after which others take over from a worker that has
    gone silent.
    """

    Channel = LeasingChannel
    channels: list[LeasingChannel]  # type: ignore[assignment] # kombu's own type is wider

    def __init__(self, client: Any, **kwargs: Any) -> None:
        client.transport_options = {**DEFAULT_OPTIONS, **client.transport_options}
        super().__init__(client, **kwargs)

    def _collect(self, connection: Any) -> None:
        """Drop a broken connection; kombu calls this instead of closing it in good order.

        Its messages stay in hand: their jobs run on, and are acknowledged over the next connection.
        """
        for channel in list(self.channels):
            channel.lose()
        self.close_connection(connection)


def register() -> None:
    """Make the schemes of these transports known to kombu."""
    for scheme in (SCHEME, TLS_SCHEME):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    for scheme in (PRODUCER_SCHEME, TLS_PRODUCER_SCHEME):
        TRANSPORT_ALIASES[scheme] = f"{PrimaryTransport.__module__}:PrimaryTransport"


def producer_url(url: str) -> str:
    """Return the URL under which a master behind Sentinels is published to."""
    return with_schemes(url, {"redis": PRODUCER_SCHEME, "rediss": TLS_PRODUCER_SCHEME})


def worker_url(url: str) -> str:
    """Return the URL under which a worker consumes through this transport.

    URLs of other brokers come back as they are, alternatives (`a;b`) one by one.
    """
    # A socket's URL names its database otherwise to kombu than to redis-py.
    parts = (
        one.replace("?db=", "?virtual_host=") if one.startswith("unix://") else one
        for one in url.split(";")
    )
    return with_schemes(";".join(parts), _OURS)
