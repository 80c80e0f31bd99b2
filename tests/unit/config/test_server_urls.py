"""URLs of broker and store: which are taken, and how the libraries are given them."""

from __future__ import annotations

from ssl import CERT_REQUIRED
from typing import Any

import pytest

from config.server_urls import (
    demand_broker,
    demand_store,
    for_kombu,
    for_redis_py,
    passwords_of,
)
from worker.messaging import broker
from worker.store.connection import connect


@pytest.mark.parametrize(
    "url",
    [
        "amqp://guest:guest@host:5672//",
        "amqps://user:p%40ss%23@host/%2F?heartbeat=10",
        "amqp://one//;amqp://two//",
        "redis://",
        "redis://:secret@[::1]:6379/3",
        "rediss://host/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca.pem",
        "valkeys://host",
        "unix:///run/redis.sock?db=2",
        "redis+socket:///run/redis.sock?virtual_host=2",
        "memory://",
    ],
)
def test_what_a_library_can_use_is_taken(url: str) -> None:
    """RabbitMQ, Redis and Valkey in all spellings, and kombu's other transports."""
    demand_broker(url)


@pytest.mark.parametrize(
    "url",
    [
        "foo://host",
        "sqs://",
        "amqp://host:abc//",
        "amqp://host:99999//",
        "amqp://host//?heartbeat=often",
        "redis://[::1",
        "redis://host/abc",
        "redis://host/0?foo=1",
        "redis://one;redis://two",
        "amqp://one//;amqp://two:abc//",
    ],
)
def test_what_no_library_can_use_is_a_fault(url: str) -> None:
    """It is found with the settings, not as a traceback of the library's."""
    with pytest.raises(ValueError):
        demand_broker(url)


@pytest.mark.parametrize("url", ["redis://host:abc", "redis://host/abc", "unix:///s?foo=1"])
def test_a_store_that_cannot_be_used_is_a_fault(url: str) -> None:
    """Likewise."""
    with pytest.raises(ValueError):
        demand_store(url)


@pytest.mark.parametrize("password", ["12#canary", "can/ary", "canary?1", "#canary", "can[ary"])
@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_half_of_a_password_is_not_taken_for_a_port(scheme: str, password: str) -> None:
    """A password that is not encoded would show in what the libraries say."""
    with pytest.raises(ValueError, match="%23 for #") as caught:
        demand_broker(f"{scheme}://user:{password}@host:5672/0")
    assert "can" not in str(caught.value).removeprefix("cannot")


@pytest.mark.parametrize(
    ("url", "passwords"),
    [
        ("redis://host/0", set()),
        ("redis://:p%40ss@host/0", {"p%40ss", "p@ss"}),
        ("amqp://user:one@a//;amqp://user:two@b//", {"one", "two"}),
        ("unix://user:pass@/run/redis.sock", {"pass"}),
    ],
)
def test_the_passwords_of_a_url_are_known(url: str, passwords: set[str]) -> None:
    """As they are written, and as the libraries read them: either may be in what they say."""
    assert passwords_of(url) == passwords


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_certificates_of_the_broker_are_verified(scheme: str) -> None:
    """Without options kombu's own `rediss` trusts whoever answers, and tells them the password."""
    assert for_kombu(f"{scheme}://host/0") == "rediss://host/0?ssl_cert_reqs=required"
    assert broker.connection(f"{scheme}://host").ssl == {"ssl_cert_reqs": CERT_REQUIRED}
    asked = "rediss://host/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none"
    assert for_kombu(asked) == asked


def test_one_url_serves_both_libraries() -> None:
    """What Celery documents for `ssl_cert_reqs` is taken by redis-py in other words."""
    written = for_redis_py("rediss://host/0?ssl_cert_reqs=CERT_REQUIRED")
    assert written == "rediss://host/0?ssl_cert_reqs=required"
    assert for_kombu("unix:///s?db=2") == "redis+socket:///s?virtual_host=2"
    assert for_redis_py("redis+socket:///s?virtual_host=2") == "unix:///s?db=2"


@pytest.mark.parametrize("url", ["unix:///run/s?db=2", "redis+socket:///run/s?virtual_host=2"])
def test_a_store_may_be_at_a_socket_of_the_file_system(url: str) -> None:
    """Its connections have no options of the network's."""
    pool = connect(url).connection_pool
    made: Any = pool.make_connection()
    assert (made.path, made.db) == ("/run/s", 2)
