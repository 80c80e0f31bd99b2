"""URLs of broker and store: how each library writes them, and which ones it could not use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from kombu import Connection
from redis import ConnectionPool
from redis.exceptions import RedisError

REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "valkey", "valkeys", "unix", "redis+socket"})
AMQP_SCHEMES: Final = frozenset({"amqp", "amqps", "pyamqp"})

# Nothing of the URL is quoted: what stands in the wrong place may be half of a password.
_UNREADABLE: Final = (
    "cannot be read as a URL; in user names and passwords write %40 for @, %23 for #, %2F for /, "
    "%3A for :, %3F for ?"
)
_FOR_KOMBU: Final = {"valkey": "redis", "valkeys": "rediss", "unix": "redis+socket"}
_FOR_REDIS_PY: Final = {"valkey": "redis", "valkeys": "rediss", "redis+socket": "unix"}
_DATABASE: Final = re.compile(r"/{0,2}[0-9]*/?")
# kombu takes Python's own names of these as well, redis-py the short ones alone.
_VERIFICATION: Final = re.compile(r"(?<=ssl_cert_reqs=)CERT_(NONE|OPTIONAL|REQUIRED)")


def is_redis(url: str) -> bool:
    """Tell whether a broker URL names a Redis or Valkey server."""
    return url.partition("://")[0] in REDIS_SCHEMES


def for_kombu(url: str) -> str:
    """Write a broker's URL as kombu knows it; others than Redis's come back as they are."""
    scheme, mark, rest = url.partition("://")
    known = _FOR_KOMBU.get(scheme, scheme)
    if known == "redis+socket":
        rest = rest.replace("?db=", "?virtual_host=")
    if known == "rediss" and "ssl_cert_reqs=" not in rest:
        # kombu would trust whoever answers.
        rest += f"{'&' if '?' in rest else '?'}ssl_cert_reqs=required"
    return f"{known}{mark}{rest}"


def for_redis_py(url: str) -> str:
    """Write the URL of a Redis or Valkey server as redis-py knows it."""
    scheme, mark, rest = url.partition("://")
    known = _FOR_REDIS_PY.get(scheme, scheme)
    rest = _VERIFICATION.sub(lambda found: found[1].lower(), rest)
    if known == "unix":
        rest = rest.replace("?virtual_host=", "?db=")
    return f"{known}{mark}{rest}"


def with_schemes(url: str, schemes: Mapping[str, str]) -> str:
    """Give a server's URL the scheme that stands for its own, if one does.

    Of alternatives (`a;b`) each gets its own.
    """
    parts = (one.partition("://") for one in url.split(";"))
    return ";".join(f"{schemes.get(scheme, scheme)}{mark}{rest}" for scheme, mark, rest in parts)


def passwords_of(url: str) -> set[str]:
    """Return the passwords of a URL and of its alternatives (`a;b`), as written and as meant."""
    written = {password for part in url.split(";") if (password := urlsplit(part).password)}
    return written | set(map(unquote, written))


def demand_broker(url: str) -> None:
    """Raise ValueError for what kombu could not use, for each of the alternatives in `a;b`."""
    if is_redis(url):
        if ";" in url:
            raise ValueError(
                "must name a single Redis or Valkey server: queues are not shared between servers"
            )
        # Commands look into its queues with redis-py.
        demand_store(url)
    for one in url.split(";"):
        _demand_readable(one)
        try:
            connection = Connection(for_kombu(one))
            if urlsplit(one).scheme not in REDIS_SCHEMES | AMQP_SCHEMES:
                connection.transport_cls  # noqa: B018 - it is looked up now
        except ImportError as error:
            raise ValueError(f"needs a library that is not installed: {error.name}") from None
        except (KeyError, TypeError, ValueError):
            raise ValueError("names a transport or an option that kombu does not know") from None


def demand_store(url: str) -> None:
    """Raise ValueError for what redis-py could not use."""
    _demand_readable(url)
    parts = urlsplit(url)
    if parts.scheme not in {"unix", "redis+socket"} and not _DATABASE.fullmatch(parts.path):
        raise ValueError("must end in a database number, as in redis://host:6379/0")
    try:
        pool = ConnectionPool.from_url(for_redis_py(url))
        pool.connection_class(**pool.connection_kwargs)
    except (RedisError, TypeError, ValueError):
        raise ValueError("has an option that redis-py does not know") from None


def _demand_readable(url: str) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is read now
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(_UNREADABLE)
