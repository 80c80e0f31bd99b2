"""Checks of single settings: each returns the value, or raises ValueError with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from config.names import TASK_NAME
from config.urls import demand_broker, demand_store, with_plain_scheme

ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A name or an address, with a port or without; a suffix begins with a dot.
HOST = re.compile(r"\.?[\w\[:][\w.:\[\]-]*")
MAX_PAUSES = 20
CELERY_TASK = re.compile(r"[\w.:/-]{1,255}")


def comma_separated(value: Any) -> Any:
    """Split `a, b` into its parts; lists, which come from a file, are returned unchanged."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def pauses(value: tuple[float, ...]) -> tuple[float, ...]:
    """Accept the pauses between attempts."""
    if not 1 <= len(value) <= MAX_PAUSES:
        raise ValueError(f"must be 1 to {MAX_PAUSES} pauses in seconds, separated by commas")
    return value


def lower(value: Any) -> Any:
    """Return a word in lower case: other programs write such words in capitals."""
    return value.lower() if isinstance(value, str) else value


def checked(check: Callable[[str], str]) -> Callable[[Any], Any]:
    """Return a function that applies a check to a text, before it becomes a secret."""

    def apply(value: Any) -> Any:
        return check(value) if isinstance(value, str) else value

    return apply


def account_id(value: str) -> str:
    """Accept LivePerson's id of an account (or site)."""
    if not ACCOUNT_ID.fullmatch(value):
        raise ValueError("must be the LivePerson account id: 1 to 64 letters, digits, - or _")
    return value


def task_name(value: str) -> str:
    """Accept the name of a Celery task, except our own."""
    if not CELERY_TASK.fullmatch(value):
        raise ValueError(
            "must be the name of a Celery task, such as sender.send: "
            "1 to 255 letters, digits, _, ., :, / or -"
        )
    if value == TASK_NAME:
        raise ValueError("must be a task of your own: this is the one that opens conversations")
    return value


def http_url(value: str) -> str:
    """Accept `http(s)://host[:port]` without path, query or credentials."""
    parts = urlsplit(value)
    try:
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError("must be http://host or https://host; its port is not a number") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be http://host or https://host")
    if (
        parts.username
        or parts.password
        or parts.query
        or parts.fragment
        or parts.path not in {"", "/"}
    ):
        raise ValueError("must contain only scheme and host, as in https://api.liveperson.net")
    return value.rstrip("/")


def store_url(value: str) -> str:
    """Accept the URL of a Redis or Valkey server."""
    url = with_plain_scheme(value)
    demand_store(url)
    return url


def broker_url(value: str) -> str:
    """Accept the URL of a RabbitMQ, Redis or Valkey server."""
    url = with_plain_scheme(value)
    demand_broker(url)
    return url


def host_and_port(value: str) -> tuple[str, int]:
    """Split `host:port`. Raises ValueError for anything else."""
    host, colon, port = value.strip().rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    if not colon or not bare or not is_port or (":" in bare) is not is_bracketed:
        raise ValueError(
            "must be host:port with a port from 1 to 65535, as in 0.0.0.0:9464 or [::]:9464"
        )
    return bare, int(port)


def address(value: str) -> str:
    """Accept `host:port` with a name or an IP address."""
    host_and_port(value)
    return value.strip()


def trusted_host(value: str) -> str:
    """Accept a host name, or a suffix that begins with a dot."""
    if not HOST.fullmatch(value):
        raise ValueError("must be host names or suffixes such as .liveperson.net")
    return value.lower()
