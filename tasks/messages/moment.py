"""Moments as messages and logs show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def rfc3339(moment: datetime) -> str:
    """Write a moment in UTC, to the millisecond, with a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """Write this moment."""
    return rfc3339(datetime.now(UTC))


def later(seconds: float) -> str:
    """Write the moment that lies so many seconds ahead."""
    return rfc3339(datetime.now(UTC) + timedelta(seconds=seconds))
