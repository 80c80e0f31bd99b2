"""A message to publish: a result, a dead letter, or a job."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

# AMQP's delivery mode of a message that survives a restart of the broker.
PERSISTENT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to publish: a body with its address.

    Its texts have at most 255 octets each (AMQP 0-9-1, 4.2.5.3).
    """

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    type: str | None = None
    priority: int = 0
    headers: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = "application/json"
    content_encoding: str = "utf-8"


def rfc3339(moment: datetime) -> str:
    """Return a time in UTC, to the millisecond, with a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """Return the current time in RFC 3339."""
    # At a third of the cost of rfc3339: a job asks for it several times.
    second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_to_the_second(second)}.{nanoseconds // 1_000_000:03d}Z"


def later(seconds: float) -> str:
    """Return the time in `seconds` from now in RFC 3339."""
    return rfc3339(datetime.now(UTC) + timedelta(seconds=seconds))


@lru_cache(maxsize=1)
def _to_the_second(since_1970: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_1970))
