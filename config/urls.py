"""URLs of broker and store: how each library writes them, and which ones are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from kombu import Connection
from redis import ConnectionPool
from redis.exceptions import RedisError

from config.redis_urls import (
    CLUSTER_SCHEMES,
    SENTINEL_SCHEMES,
    cluster_of,
    hosts_of,
    sentinels_of,
    with_first_host,
)

# In the order in which messages list them.
_AMQP: Final = ("amqp", "amqps", "pyamqp")
_REDIS: Final = (
    *("redis", "rediss", "valkey", "valkeys", "unix", "redis+socket"),
    *SENTINEL_SCHEMES,
)
_SOCKETS: Final = frozenset({"unix", "redis+socket"})
REDIS_SCHEMES: Final = frozenset(_REDIS)
AMQP_SCHEMES: Final = frozenset(_AMQP)

# Only the scheme of a URL is ever quoted: a misplaced part may belong to a password.
_UNREADABLE: Final = (
    "cannot be read as a URL; in user names and passwords write %40 for @, %23 for #, %2F for /, "
    "%3A for :, %3B for ;, %3F for ?, and an IPv6 address in brackets"
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9.+-]{0,30}")
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f]")
# The options of a RabbitMQ URL that are allowed; Overture sets the others itself.
_AMQP_OPTION: Final = re.compile(r"heartbeat|login_method|ssl_[a-z_]+")
_FOR_KOMBU: Final = {"valkey": "redis", "valkeys": "rediss", "unix": "redis+socket"}
_FOR_REDIS_PY: Final = {"valkey": "redis", "valkeys": "rediss", "redis+socket": "unix"}
_ALTERNATIVES: Final = (
    "name one, or alternatives of RabbitMQ as whole URLs, as in amqp://one//;amqp://two//, or "
    "several of Redis as in sentinel://one,two/mymaster or redis+cluster://one,two"
)
HIDDEN: Final = "[redacted]"
# The longest text of a server's error.
MAX_ERROR_CHARACTERS: Final = 300
_DATABASE: Final = re.compile(r"/{0,2}[0-9]*/?")
# kombu accepts Python's names for these, redis-py only the short ones.
_VERIFICATION: Final = re.compile(r"(?<=ssl_cert_reqs=)CERT_(NONE|OPTIONAL|REQUIRED)")


def with_plain_scheme(url: str) -> str:
    """Return a URL with its scheme, and those of its alternatives (`a;b`), in lower case.

    Blanks around the URL are removed: they may come from a file or a shell.
    """
    parts = (one.partition("://") for one in url.strip().split(";"))
    return ";".join(
        f"{scheme.lower() if mark else scheme}{mark}{rest}" for scheme, mark, rest in parts
    )


def is_redis(url: str) -> bool:
    """Tell whether a broker URL is that of a Redis or Valkey server, or of Sentinels."""
    return url.partition("://")[0] in REDIS_SCHEMES


def for_kombu(url: str) -> str:
    """Return a broker's URL in kombu's form; only Redis's differ."""
    scheme, mark, rest = url.partition("://")
    known = _FOR_KOMBU.get(scheme, scheme)
    if known == "redis+socket":
        rest = rest.replace("?db=", "?virtual_host=")
    if known == "rediss" and "ssl_cert_reqs=" not in rest:
        # Without it kombu would not verify the server's certificate.
        rest += f"{'&' if '?' in rest else '?'}ssl_cert_reqs=required"
    return f"{known}{mark}{rest}"


def for_redis_py(url: str) -> str:
    """Return the URL of a Redis or Valkey server in redis-py's form."""
    scheme, mark, rest = url.partition("://")
    known = _FOR_REDIS_PY.get(scheme, scheme)
    rest = _VERIFICATION.sub(lambda found: found[1].lower(), rest)
    if known == "unix":
        rest = rest.replace("?virtual_host=", "?db=")
    return f"{known}{mark}{rest}"


def with_schemes(url: str, schemes: Mapping[str, str]) -> str:
    """Replace the schemes of a URL, and of its alternatives (`a;b`), that are in `schemes`."""
    parts = (one.partition("://") for one in url.split(";"))
    return ";".join(f"{schemes.get(scheme, scheme)}{mark}{rest}" for scheme, mark, rest in parts)


def passwords_of(url: str) -> set[str]:
    """Return the passwords of a URL and its alternatives (`a;b`), both as written and decoded."""
    parts = [urlsplit(with_first_host(part)) for part in url.split(";")]
    written = {part.password for part in parts if part.password}
    for part in parts:
        options = (one.partition("=") for one in part.query.split("&"))
        written |= {value for name, _, value in options if value and "password" in name}
    return written | set(map(unquote, written))


def demand_broker(url: str) -> None:
    """Raise ValueError for a broker's URL that cannot be used, or whose broker could lose jobs.

    RabbitMQ may have alternatives (`a;b`), which are all checked; Redis may not. kombu knows more
    brokers, but connects to a Redis at localhost for some schemes, and keeps others in its memory.
    """
    if "://" not in url:
        raise ValueError("must be a URL such as amqp://user:password@host/vhost or redis://host/0")
    alternatives = url.split(";")
    for one in alternatives:
        _demand_scheme(one, (*_AMQP, *_REDIS), "a broker that Overture can keep its promises with")
    if len(alternatives) > 1 and any(map(is_redis, alternatives)):
        raise ValueError(
            "must name a single server where that is Redis or Valkey: queues are not shared "
            "between servers; only RabbitMQ has alternatives, as in amqp://one//;amqp://two//, "
            "and Sentinels are named in one URL, as in sentinel://one,two,three/mymaster/0"
        )
    for one in alternatives:
        if is_redis(one):
            # Commands read its queues with redis-py.
            demand_store(one)
        else:
            _demand_readable(one)
            _demand_amqp_options(one)
        try:
            found = sentinels_of(one)
            Connection(for_kombu(found.server_url if found else one))
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"has {_option(one)} that kombu does not know; leave it out") from None


def demand_store(url: str) -> None:
    """Raise ValueError for a store's URL that redis-py cannot use."""
    if "://" not in url:
        raise ValueError("must be a URL such as redis://host:6379/0")
    if ";" in url:
        raise ValueError("must name a single Redis or Valkey server; in a password write %3B for ;")
    _demand_scheme(url, (*_REDIS, *CLUSTER_SCHEMES), "a store that Overture can use")
    _demand_readable(with_first_host(url))
    sentinels, cluster = sentinels_of(url), cluster_of(url)
    server = sentinels.server_url if sentinels else cluster.node_url if cluster else url
    parts = urlsplit(server)
    if parts.scheme not in _SOCKETS and not _DATABASE.fullmatch(parts.path):
        raise ValueError("must end in a database number, as in redis://host:6379/0")
    try:
        pool = ConnectionPool.from_url(for_redis_py(server))
        pool.connection_class(**pool.connection_kwargs)
    except (RedisError, TypeError, ValueError):
        raise ValueError(f"has {_option(url)} that redis-py does not know; leave it out") from None


def _demand_scheme(url: str, known: Sequence[str], what: str) -> None:
    scheme, mark, _ = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        raise ValueError(_UNREADABLE)
    if scheme not in known:
        raise ValueError(f"{scheme}:// is not {what}; use {_listed(known)}")


def _listed(schemes: Sequence[str]) -> str:
    *others, last = (f"{scheme}://" for scheme in schemes)
    return f"{', '.join(others)} or {last}"


def _option(url: str) -> str:
    """Return the names of a URL's options, without their values."""
    names = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    return f"an option ({', '.join(names)})" if names else "an option"


def _demand_amqp_options(url: str) -> None:
    for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if not _AMQP_OPTION.fullmatch(name):
            raise ValueError(
                f"has {_option(url)} that Overture sets itself or cannot use; leave it out"
            )


def _demand_readable(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}" or _BLANK.search(url):
        raise ValueError(_UNREADABLE)
    if parts.scheme in _SOCKETS:
        if parts.hostname or port is not None or not parts.path.strip("/"):
            raise ValueError("must name the path of a socket, as in unix:///run/valkey.sock")
        return
    if port == 0:
        raise ValueError("has port 0; a port is 1 to 65535")
    if parts.netloc and not parts.hostname:
        # The libraries would connect to localhost, and send it the password.
        raise ValueError("names no host; write it after the @, as in scheme://user:password@host")
    if "," in (parts.hostname or ""):
        raise ValueError(f"names several hosts in one URL; {_ALTERNATIVES}")


def public_url(url: str) -> str:
    """Return a URL, and each of its alternatives (`a;b`), without password and query."""
    return ";".join(map(_public, url.split(";")))


def without_passwords(text: str, url: str) -> str:
    """Remove the passwords of a URL from a text, such as that of a library's error."""
    for password in sorted(passwords_of(url), key=len, reverse=True):
        text = text.replace(password, HIDDEN)
    return text


def said(error: BaseException, url: str) -> str:
    """Return the text of a server's error as one line, without passwords."""
    # py-amqp puts the number of the method before the text.
    words = str(error).removeprefix("(0, 0): ") or type(error).__name__
    return without_passwords(words, url)[:MAX_ERROR_CHARACTERS].strip().rstrip(".")


def _public(url: str) -> str:
    parts = urlsplit(with_first_host(url))
    host = hosts_of(url) or parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{host}{parts.path}"
