"""URLs of broker and store: which are taken, and how the libraries are given them."""

from __future__ import annotations

import re
from ssl import CERT_REQUIRED
from typing import Any

import pytest
from redis.sentinel import SentinelManagedSSLConnection

from config.redis_urls import Sentinels, sentinels_of
from config.urls import (
    AMQP_SCHEMES,
    REDIS_SCHEMES,
    demand_broker,
    demand_store,
    for_kombu,
    for_redis_py,
    passwords_of,
    public_url,
    with_plain_scheme,
)
from tasks.store.connection import connect
from tasks.store.sentinels import finder_of
from worker.broker.brokers import broker_at


@pytest.mark.parametrize(
    "url",
    [
        "amqp://",
        "amqp://guest:guest@host:5672//",
        "amqps://user:p%40ss%23@host/%2F?heartbeat=10",
        "amqps://[::1]:5671/v?ssl_ca_certs=/ca.pem",
        "pyamqp://host/%2Fv",
        "amqp://one//;amqp://two//",
        "amqp://one//;amqps://two//",
        "redis://",
        "redis://:secret@[::1]:6379/3",
        "rediss://host/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca.pem",
        "valkeys://host",
        "unix:///run/redis.sock?db=2",
        "unix://user:pass@/run/redis.sock",
        "redis+socket:///run/redis.sock?virtual_host=2",
        "sentinel://one/mymaster",
        "sentinel://user:p%40ss@one:26379,two,[::1]:26380/my%20master/3?sentinel_password=a%26b",
        "sentinel+tls://one,two/mymaster/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required",
    ],
)
def test_what_keeps_every_job_is_taken(url: str) -> None:
    """RabbitMQ, Redis and Valkey in all spellings."""
    demand_broker(url)


@pytest.mark.parametrize(
    "scheme",
    [
        "memory",
        "filesystem",
        "sqs",
        "sentinels",
        "redis+sentinel",
        "redis+cluster",
        "rediss+cluster",
        "sqla+sqlite",
        "librabbitmq",
        "mongodb",
        "kafka",
        "gcpubsub",
        "http",
        "foo",
    ],
)
@pytest.mark.parametrize("where", ["{}", "amqp://one//;{}"])
def test_any_other_broker_is_refused_by_name(scheme: str, where: str) -> None:
    """Kombu takes some for a Redis at localhost, and gives it the password."""
    with pytest.raises(ValueError, match=rf"^{re.escape(scheme)}:// is not a broker") as caught:
        demand_broker(where.format(f"{scheme}://user:canary@host:7000/0"))
    sentence = str(caught.value)
    assert "canary" not in sentence
    for known in REDIS_SCHEMES | AMQP_SCHEMES:
        assert f"{known}://" in sentence


@pytest.mark.parametrize("scheme", ["sentinels", "redis+sentinel", "amqp", "memory", "http"])
def test_any_other_store_is_refused_by_name(scheme: str) -> None:
    """With those that would do."""
    with pytest.raises(ValueError, match=rf"^{re.escape(scheme)}:// is not a store") as caught:
        demand_store(f"{scheme}://user:canary@host:7000/0")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://host:abc//",
        "amqp://host:99999//",
        "amqp://host:0//",
        "amqp://host//?heartbeat=often",
        "amqp://host//?connect_timeout=5",
        "amqp://host//?credential_provider=os.system",
        "amqp://user:secret@/v",
        "amqp://:5672//",
        "amqp://one,two//",
        "amqp://ho st//",
        "redis://[::1",
        "redis://::1:6379/0",
        "redis://:secret@/0",
        "redis://:6379/0",
        "redis://one:1,two:2/0",
        "redis://host/abc",
        "sentinel://one",
        "sentinel://one/",
        "sentinel://one/mymaster/abc",
        "sentinel://one,,two/mymaster",
        "sentinel://one,two:0/mymaster",
        "sentinel://one,two:abc/mymaster",
        "sentinel://:secret@/mymaster",
        "sentinel://one/mymaster?foo=1",
        "sentinel://one;sentinel://two",
        "redis://host/0?foo=1",
        "redis://host/0?visibility_timeout=3600",
        "redis://one;redis://two",
        "amqp://one//;redis://two/0",
        "redis://one/0;amqp://two//",
        "amqp://one//;amqp://two:abc//",
        "amqp://one//;two",
        "amqp://one//;",
        ";amqp://one//",
        "unix://",
        "unix://run/redis.sock",
        "redis:/host",
        "://host",
        "hunter2",
        "",
    ],
)
def test_what_no_library_can_use_is_a_fault(url: str) -> None:
    """It is found with the settings, not as a traceback of the library's."""
    with pytest.raises(ValueError) as caught:
        demand_broker(url)
    assert not {"secret", "hunter2"} & set(re.split(r"\W+", str(caught.value)))


@pytest.mark.parametrize("url", [" AMQP://Guest:Pa@Host//;Amqps://b//\n", "VALKEY://Host/0"])
def test_a_scheme_is_the_same_in_capitals(url: str) -> None:
    """Nothing else of a URL changes its case, and blanks around it are none of it."""
    plain = with_plain_scheme(url)
    demand_broker(plain)
    assert plain in {"amqp://Guest:Pa@Host//;amqps://b//", "valkey://Host/0"}


@pytest.mark.parametrize(
    "url", ["redis://user:p%3B%40ss@[::1]:7/2", "valkey://user:p%3B%40ss@[::1]:7/2"]
)
def test_both_libraries_read_the_same(url: str) -> None:
    """An IPv6 address, and a password with characters that mean something in a URL."""
    demand_broker(url)
    by_kombu = broker_at(url).connection()
    by_redis = connect(url).connection_pool.connection_kwargs
    assert (by_kombu.hostname, by_kombu.port, by_kombu.password) == ("::1", 7, "p;@ss")
    assert (by_redis["host"], by_redis["port"], by_redis["password"]) == ("::1", 7, "p;@ss")
    assert (by_kombu.virtual_host, by_redis["db"]) == ("2", 2)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:abc",
        "redis://host/abc",
        "unix:///s?foo=1",
        "redis://a/0;redis://b/0",
        "host",
        "",
    ],
)
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
        ("redis://host/0?password=two%21", {"two%21", "two!"}),
        ("sentinel://:one@a,b/m?sentinel_password=two&protocol=3", {"one", "two"}),
    ],
)
def test_the_passwords_of_a_url_are_known(url: str, passwords: set[str]) -> None:
    """As they are written, and as the libraries read them: either may be in what they say."""
    assert passwords_of(url) == passwords


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_certificates_of_the_broker_are_verified(scheme: str) -> None:
    """Without options kombu's own `rediss` trusts whoever answers, and tells them the password."""
    assert for_kombu(f"{scheme}://host/0") == "rediss://host/0?ssl_cert_reqs=required"
    assert broker_at(f"{scheme}://host").connection().ssl == {"ssl_cert_reqs": CERT_REQUIRED}
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


def test_a_url_of_sentinels_says_where_and_who_and_what() -> None:
    """Users and options are the master's, but for those that are the Sentinels' by name."""
    found = sentinels_of(
        "sentinel://user:p%40ss@one:7,two,[::1]:8/my%20master/3"
        "?protocol=2&sentinel_username=eye&sentinel_password=a%26b"
    )
    assert found == Sentinels(
        addresses=(("one", 7), ("two", 26379), ("::1", 8)),
        master="my master",
        server_url="redis://user:p%40ss@one:7/3?protocol=2",
        username="eye",
        password="a&b",
    )
    assert "a&b" not in repr(found)
    assert "p%40ss" not in repr(found)


def test_a_master_over_tls_is_verified() -> None:
    """And so are its Sentinels."""
    url = "sentinel+tls://one,two/m?ssl_ca_certs=/ca.pem"
    found = sentinels_of(url)
    assert found is not None
    assert found.server_url == "rediss://one/?ssl_ca_certs=/ca.pem".replace("/ca", "%2Fca")
    for broker_side in (broker_at(url).connection(), broker_at(url).consuming_connection()):
        assert broker_side.ssl == {"ssl_ca_certs": "/ca.pem"}
    pool: Any = connect(url).connection_pool
    assert pool.connection_class is SentinelManagedSSLConnection
    sentinel: Any = finder_of(found)._clients[0][1].connection_pool.make_connection()
    assert sentinel.cert_reqs == CERT_REQUIRED
    assert sentinel.ca_certs == "/ca.pem"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "sentinel://u:secret@one:7,[::1]:8/m/0?sentinel_password=x",
            "sentinel://u@one:7,[::1]:8/m/0",
        ),
        ("redis+cluster://:secret@one,two", "redis+cluster://one,two"),
        ("amqp://u:secret@one//;amqp://u:secret@two//", "amqp://u@one//;amqp://u@two//"),
    ],
)
def test_a_url_is_shown_with_all_hosts_and_no_secret(url: str, shown: str) -> None:
    """In the log, in findings and in sentences."""
    assert public_url(url) == shown
