"""Reads a server's answer, which may be JSON or not, well formed or not. No I/O."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

MESSAGE_CHARS = 500
_JWT = re.compile(r"\beyJ[\w-]+(?:\.[\w-]*)+")
_IDENTIFIER = re.compile(r"[\x21-\x7e]{1,256}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_TEXTS = ("error", "error_description", "title", "details", "msg", "message")
_CODES = ("errorCode", "internalCode")


def document(body: bytes) -> Any:
    """Decode JSON; None if it is not JSON.

    A byte that is not UTF-8 spoils a text, as of a message that was cut off, not the whole answer.
    """
    try:
        return json.loads(body)
    except UnicodeDecodeError:
        return document(body.decode("utf-8", "replace").encode())
    except (ValueError, RecursionError):
        return None


def printable(text: str, *secrets: str) -> str:
    """Return a server's text as one short line, without these secrets or any JWT."""
    for secret in secrets:
        text = text.replace(secret, "[secret]") if secret else text
    text = " ".join(_JWT.sub("[token]", text).split())
    return "".join(char for char in text if char.isprintable())[:MESSAGE_CHARS]


def said(part: Any) -> str:
    """Return the text of an error body: LivePerson's, OAuth's, Monitoring's, or a bare string."""
    return printable(": ".join(dict.fromkeys(_texts(part))))


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        yield from (part[name] for name in _TEXTS if isinstance(part.get(name), str))
        if "body" in part:
            yield from _texts(part["body"])


def error_code(part: Any) -> int | None:
    """Find LivePerson's `errorCode`, or Monitoring's `internalCode`."""
    if not isinstance(part, dict):
        return None
    for name in _CODES:
        code = part.get(name)
        if isinstance(code, str):
            code = number(code)
        if isinstance(code, int) and 0 <= code < 10**9:
            return code
    return error_code(part.get("body"))


def number(text: str) -> int | None:
    """Read a whole number of at most 9 digits; None for anything else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def identifier(value: Any) -> str | None:
    """Read an id, which is a string or a number; None for anything else.

    LivePerson's schemas say at most 64 characters; a longer id is kept rather than lost.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` (RFC 9110, 10.2.3) as seconds from now; None if absent or unreadable.

    A date is compared with the server's own `Date`, so that a wrong clock here does no harm.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _date(value)
    if until is None:
        return None
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
