"""The Redis transport's names, and how many messages it asks for."""

from __future__ import annotations

from typing import Any

import pytest
from kombu import Connection

from worker.broker.redis.layout import Layout
from worker.broker.redis.primary import TLS_SCHEME
from worker.broker.redis.qos import TAKE_LIMIT, LeasingQoS
from worker.broker.redis.transport import Transport, register, worker_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:secret@host:6379/1", "overture-redis://:secret@host:6379/1"),
        ("valkey://host", "overture-redis://host"),
        ("rediss://host", "overture-rediss://host"),
        ("valkeys://host", "overture-rediss://host"),
        ("redis+socket:///run/redis.sock", "overture-redis+socket:///run/redis.sock"),
        ("unix:///run/redis.sock?db=2", "overture-redis+socket:///run/redis.sock?virtual_host=2"),
        ("redis://one;redis://two", "overture-redis://one;overture-redis://two"),
        ("amqp://guest@host//", "amqp://guest@host//"),
    ],
)
def test_a_workers_url_names_this_transport(url: str, expected: str) -> None:
    """Redis and Valkey in all spellings; other brokers are left alone."""
    assert worker_url(url) == expected


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+socket"])
def test_kombu_knows_the_schemes(scheme: str) -> None:
    """Once they are registered."""
    register()
    assert isinstance(Connection(worker_url(f"{scheme}://host")).transport, Transport)


def test_certificates_are_verified() -> None:
    """Unlike kombu's `rediss`, TLS without further options is not blind trust."""
    register()
    connection = Connection(f"{TLS_SCHEME}://host")
    connection.transport  # noqa: B018 - it sets itself up when it is first asked for
    assert connection.ssl == {"ssl_cert_reqs": "required"}


def test_no_call_can_hang() -> None:
    """Sockets have timeouts unless options say otherwise."""
    register()
    connection = Connection("overture-redis://host", transport_options={"socket_timeout": 2.5})
    connection.transport  # noqa: B018 - it sets itself up when it is first asked for
    options = connection.transport_options or {}
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (2.5, 5.0)


def test_lists_are_named_as_kombus_producers_name_them() -> None:
    """Highest priority first; priority 0 has the queue's own name."""
    records, leases, delayed, since, *lists = Layout().keys(["jobs"])
    assert (records, leases) == ("jobs:records", "jobs:leases")
    assert (delayed, since) == ("jobs:delayed", "jobs:since")
    assert lists == ["jobs\x06\x169", "jobs\x06\x166", "jobs\x06\x163", "jobs"]


class Channel:
    """As much of a channel, and of its keeper of leases, as is asked here."""

    is_lost = False

    def __init__(self, *, orphans: int = 0) -> None:
        self.keeper: Any = self
        self.orphans = orphans
        self.settled: list[tuple[str, bool]] = []
        self.qos = LeasingQoS(self)

    def settle(self, verb: str, lease: str, *, seconds: float) -> None:
        """Note whether the message was still in hand."""
        assert seconds == 0
        self.settled.append((verb, lease in self.qos.leases()))


@pytest.mark.parametrize(
    ("prefetch", "in_hand", "orphans", "room"),
    [
        (0, 5, 0, TAKE_LIMIT),
        (4, 0, 0, 4),
        (4, 3, 0, 1),
        (4, 1, 2, 1),
        (4, 2, 3, 0),
        (1000, 0, 0, TAKE_LIMIT),
    ],
)
def test_room_is_what_the_prefetch_count_leaves(
    prefetch: int, in_hand: int, orphans: int, room: int
) -> None:
    """Jobs whose connection was lost count: they still run here. One take has its limit."""
    qos = Channel(orphans=orphans).qos
    qos.prefetch_count = prefetch
    for number in range(in_hand):
        qos.append(object(), str(number))
    assert qos.room() == room
    assert qos.can_consume() is (room > 0)


@pytest.mark.parametrize(("requeue", "verb"), [(False, "ack"), (True, "requeue")])
def test_a_message_is_in_hand_until_it_is_settled(*, requeue: bool, verb: str) -> None:
    """Or the loop would take it, in between, for one that needs no acknowledgement.

    Its room is free then, whatever the server says to it.
    """
    channel = Channel()
    channel.qos.prefetch_count = 1
    channel.qos.append(object(), "lease")
    channel.qos.reject("lease", requeue=requeue)
    assert channel.settled == [(verb, True)]
    assert channel.qos.room() == 1
