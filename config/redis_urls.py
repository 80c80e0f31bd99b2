"""URLs of several Redis or Valkey servers: Sentinels with their master, or a cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

# Each scheme with the one of the servers themselves.
SENTINEL_SCHEMES: Final = {"sentinel": "redis", "sentinel+tls": "rediss"}
CLUSTER_SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
SENTINEL_PORT: Final = 26379
REDIS_PORT: Final = 6379
# Options for the Sentinels' own user; all others are redis-py's, for the master.
SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")

_URL: Final = re.compile(
    r"(?P<scheme>[^:/?#]+)://(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]*)(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?P<rest>.*)",
    re.DOTALL,
)
_MASTER: Final = (
    "must name the master after the Sentinels, as in sentinel://one:26379,two:26379/mymaster/0"
)

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The addresses of the Sentinels, and the name of the master that they watch.

    `server_url` is the master's URL with a Sentinel's host: only they know the master's. `username`
    and `password` are those of the Sentinels.
    """

    addresses: tuple[Address, ...]
    master: str
    server_url: str = field(repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Some nodes of a cluster, which know the others; `node_url` is one of them."""

    addresses: tuple[Address, ...]
    node_url: str = field(repr=False)


def sentinels_of(url: str) -> Sentinels | None:
    """Read a URL of Sentinels; None for any other. Raises ValueError."""
    parts = _parts(url)
    if parts["scheme"] not in SENTINEL_SCHEMES:
        return None
    master, _, database = parts["path"].lstrip("/").partition("/")
    if not master or not re.fullmatch(r"[0-9]*/?", database):
        raise ValueError(_MASTER)
    options = dict(parse_qsl(parts["query"], keep_blank_values=True))
    own = {name: options.pop(name, None) or None for name in SENTINEL_OPTIONS}
    return Sentinels(
        addresses=_addresses(parts["hosts"], SENTINEL_PORT),
        master=unquote(master),
        server_url=_first(parts, SENTINEL_SCHEMES, path=f"/{database}", options=options),
        username=own["sentinel_username"],
        password=own["sentinel_password"],
    )


def cluster_of(url: str) -> Cluster | None:
    """Read a URL of a cluster; None for any other. Raises ValueError."""
    parts = _parts(url)
    if parts["scheme"] not in CLUSTER_SCHEMES:
        return None
    if parts["path"].strip("/") not in {"", "0"}:
        raise ValueError("must name no database: a cluster has none, as in redis+cluster://host")
    options = dict(parse_qsl(parts["query"], keep_blank_values=True))
    return Cluster(
        addresses=_addresses(parts["hosts"], REDIS_PORT),
        node_url=_first(parts, CLUSTER_SCHEMES, path="", options=options),
    )


def cluster_url(url: str) -> str:
    """Return the URL of a cluster for that of one of its nodes."""
    parts = _parts(url)
    scheme = "rediss+cluster" if parts["scheme"] in {"rediss", "valkeys"} else "redis+cluster"
    query = f"?{parts['query']}" if parts["query"] else ""
    return f"{scheme}://{parts['user']}{parts['hosts']}{query}"


def with_first_host(url: str) -> str:
    """Return a URL with only its first host; a URL with one host is returned unchanged."""
    parts = _parts(url)
    if parts["scheme"] not in {**SENTINEL_SCHEMES, **CLUSTER_SCHEMES}:
        return url
    return "".join(
        (
            f"{parts['scheme']}://{parts['user']}{parts['hosts'].partition(',')[0]}{parts['path']}",
            f"?{parts['query']}" if parts["query"] else "",
            parts["rest"],
        )
    )


def hosts_of(url: str) -> str:
    """Return the hosts of a URL as written."""
    return _parts(url)["hosts"]


def _parts(url: str) -> dict[str, str]:
    found = _URL.fullmatch(url)
    names = ("scheme", "user", "hosts", "path", "query", "rest")
    return {name: (found[name] if found else "") or "" for name in names}


def _first(
    parts: Mapping[str, str], schemes: Mapping[str, str], *, path: str, options: Mapping[str, str]
) -> str:
    query = f"?{urlencode(options)}" if options else ""
    host = parts["hosts"].partition(",")[0]
    return f"{schemes[parts['scheme']]}://{parts['user']}{host}{path}{query}"


def _addresses(hosts: str, default_port: int) -> tuple[Address, ...]:
    """Split `one:1,two`; errors do not quote it, since it may be a part of a password."""
    found = []
    for one in hosts.split(","):
        try:
            parts = urlsplit(f"//{one}")
            port = default_port if parts.port is None else parts.port
        except ValueError:
            port = 0
        if not port or not parts.hostname:
            raise ValueError(
                "must name its hosts as host:port, split by commas, with ports from 1 to 65535"
            )
        found.append((parts.hostname, port))
    return tuple(found)
