"""How a message of any broker is read, within limits.

A producer can put anything into headers and properties, by mistake or to do harm, and they are not
the job. A value that cannot be read is left out and its name noted; the rest of the message is
used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kombu import Message

from tasks.messages.dead_letter import Cut
from tasks.messages.intake import Received
from worker.broker import compression

# A body up to this size is kept whole, even if it is too long for a job: its dead letter then
# contains all of it.
WHOLE_BYTES: Final = 16 * 1024 * 1024
# How much is kept of a longer body.
BEGINNING_BYTES: Final = 1024 * 1024
# A command reads any message whole that a queue can hold: RabbitMQ's default limit.
COMMAND_BYTES: Final = 128 * 1024 * 1024

# Celery has about twenty flat headers; RabbitMQ's history of a message (x-death) is three deep.
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 1_000
# How many names of left-out values are noted, and how long each may be.
MAX_NAMES: Final = 10
MAX_NAME_CHARACTERS: Final = 80

# The property of kombu's message that carries our note.
NOTE: Final = "overture"
COMPRESSION: Final = "compression"

_most_body_bytes = COMMAND_BYTES


def bound(max_message_bytes: int) -> None:
    """Limit the bodies that this process reads, compressed or not.

    A body up to `max_message_bytes` is always kept whole.
    """
    global _most_body_bytes  # noqa: PLW0603 - one bound for all connections of a process
    _most_body_bytes = max(WHOLE_BYTES, max_message_bytes)
    compression.bound(max_message_bytes)


def most_body_bytes() -> int:
    """Return the largest size of a body that is kept whole."""
    return _most_body_bytes


@dataclass(frozen=True, slots=True)
class Note:
    """What reading a message found out about it.

    `left_out` names properties and headers that could not be read, `cut` is set if only the
    beginning of the body was kept, and `fault` says why there is no body at all.
    """

    left_out: tuple[str, ...] = ()
    cut: Cut | None = None
    fault: str = ""


PLAIN: Final = Note()


def received(message: Message) -> Received:
    """Return a message in the form that the task reads."""
    note = note_of(message.properties)
    fault = note.fault
    if message.errors and not fault:
        fault = f"the body cannot be unpacked: {str(message.errors[0][1])[:200]}"
    return Received(
        body=body_of(message),
        headers=message.headers,
        content_type=message.content_type or "",
        content_encoding=message.content_encoding or "",
        left_out=note.left_out,
        cut=note.cut,
        fault=fault,
    )


def body_of(message: Message) -> bytes:
    """Return a message's body, byte for byte."""
    body: Any = message.body or b""
    return body.encode() if isinstance(body, str) else bytes(body)


def note_of(properties: Mapping[str, Any]) -> Note:
    """Return the note of a message; only our transports make one."""
    note = properties.get(NOTE)
    return note if isinstance(note, Note) else PLAIN


class _Odd:
    def __repr__(self) -> str:
        return "(unreadable)"


# Stands for a value that cannot be read.
ODD: Final = _Odd()


class LeftOut:
    """Collects the names of values that are left out; only the first few, for the log."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def add(self, name: str) -> None:
        """Note one name."""
        if len(self._names) < MAX_NAMES:
            shown = "".join(one if one.isprintable() else "?" for one in name[:MAX_NAME_CHARACTERS])
            self._names.append(shown)
        elif len(self._names) == MAX_NAMES:
            self._names.append("…")

    def names(self) -> tuple[str, ...]:
        """Return the names in the order they were added."""
        return tuple(self._names)


def plain_headers(pairs: Iterable[tuple[str, object]], left_out: LeftOut) -> dict[str, Any]:
    """Copy headers whose values were read from JSON, without those beyond the limits."""
    headers: dict[str, Any] = {}
    room = MAX_VALUES
    for name, value in pairs:
        is_nested = isinstance(value, dict | list)
        room -= _weight(value, room) if is_nested else 1
        if room < 0:
            left_out.add(f"more than {MAX_VALUES} values in the headers")
            break
        if is_text(name) and (_is_within(value) if is_nested else is_text(value)):
            headers[name] = value
        else:
            left_out.add(header_named(name))
    return without_odd_compression(headers, left_out)


def without_odd_compression(headers: dict[str, Any], left_out: LeftOut) -> dict[str, Any]:
    """Drop a compression header that kombu does not know: the body may not be compressed at all."""
    name = headers.get(COMPRESSION)
    if name is not None and not (isinstance(name, str) and name in compression.KNOWN_NAMES):
        del headers[COMPRESSION]
        left_out.add(f"{header_named(COMPRESSION)} {name!r:.40}")
    return headers


def header_named(name: object) -> str:
    """Return a header's name as it is noted."""
    return f"header {name!r}"


def is_text(value: object) -> bool:
    """Tell whether a value can be encoded: a JSON text can contain half of a surrogate pair."""
    if value is ODD:
        return False
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def _weight(value: object, most: int) -> int:
    """Count the values in a value, itself included; stops soon after `most`."""
    count, level = 1, [value]
    while level and count <= most:
        children = [child for item in level for child in _children(item)]
        count += len(children)
        level = [child for child in children if isinstance(child, dict | list)]
    return count


def _is_within(value: object) -> bool:
    """Tell whether a value is not nested too deeply, and all its texts can be encoded."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return True
        for item in level:
            texts = item if isinstance(item, dict) else (item,)
            if not all(map(is_text, texts)):
                return False
        level = [child for item in level for child in _children(item)]
    return False


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
