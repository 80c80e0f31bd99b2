"""Reads a message's properties from its content header, whatever octets these are.

py-amqp raises for some values that a broker passes on: a time after the year 9999, a text that is
not UTF-8, a deeply nested table. That ends the event loop. Here a value that cannot be read is left
out; the others are read as py-amqp reads them. Source: AMQP 0-9-1, 4.2.5 and 4.2.6.1, with
RabbitMQ's letters for the types in tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Any, Final

from worker.broker.message import (
    MAX_DEPTH,
    MAX_VALUES,
    LeftOut,
    header_named,
    without_odd_compression,
)

HEADERS: Final = "application_headers"
FLAGS_KEPT: Final = 256

_FLAGS: Final = Struct(">H")
_LENGTH: Final = Struct(">I")
_MOMENT: Final = Struct(">Q")
_DECIMAL: Final = Struct(">Bi")
# By py-amqp's names, in the order of their flags from the highest bit down; `s` is a short string.
_PROPERTIES: Final = (
    ("content_type", "s"),
    ("content_encoding", "s"),
    (HEADERS, "F"),
    ("delivery_mode", Struct(">B")),
    ("priority", Struct(">B")),
    ("correlation_id", "s"),
    ("reply_to", "s"),
    ("expiration", "s"),
    ("message_id", "s"),
    ("timestamp", Struct(">Q")),
    ("type", "s"),
    ("user_id", "s"),
    ("app_id", "s"),
    ("cluster_id", "s"),
)
_NUMBERS: Final[Mapping[int, Struct]] = MappingProxyType(
    {
        ord(letter): Struct(f">{code}")
        for letter, code in zip("bBsUuIiLlfd", "bBhhHiIqqfd", strict=True)
    }
)
_STRING, _BYTES, _TABLE, _ARRAY = b"SxFA"
_BOOLEAN, _TIME, _SCALED, _VOID = b"tTDV"


class _Unreadable(Exception):
    """A value has no form in Python; where it ends may still be known."""


class _Broken(_Unreadable):
    """Where a value ends is unknown: the rest of its table is lost, too."""


def read_properties(octets: bytes, start: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the properties from `start` on; returns them, and the names of those left out."""
    properties: dict[str, Any] = {}
    left_out = LeftOut()
    try:
        flags, at = _flags(octets, start)
        for name, kind in _present(flags):
            if kind == "s":
                text, at = _short(octets, at, len(octets))
                try:
                    properties[name] = text.decode()
                except UnicodeDecodeError:
                    left_out.add(name)
            elif isinstance(kind, Struct):
                properties[name], at = _number(kind, octets, at, len(octets))
            else:
                size, at = _number(_LENGTH, octets, at, len(octets))
                end = _end(at, size, len(octets))
                properties[name] = _headers(octets, at, end, left_out)
                at = end
    except _Broken:
        left_out.add("what follows them")
    return properties, left_out.names()


@lru_cache(maxsize=FLAGS_KEPT)
def _present(flags: int) -> Sequence[tuple[str, Any]]:
    """Return the properties that are there; most producers set the same ones each time."""
    return [one for place, one in enumerate(_PROPERTIES) if flags & 1 << 15 - place]


def _flags(octets: bytes, start: int) -> tuple[int, int]:
    flags, at = _number(_FLAGS, octets, start, len(octets))
    more = flags
    while more & 1:
        # More flags follow; no version of AMQP defines a property for them.
        more, at = _number(_FLAGS, octets, at, len(octets))
    return flags, at


def _headers(octets: bytes, at: int, end: int, left_out: LeftOut) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    table = _Table(octets)
    try:
        while at < end:
            name, start = _short(octets, at, end)
            try:
                value, at = table.value(start, end, MAX_DEPTH)
                headers[name.decode()] = value
            except (_Unreadable, UnicodeDecodeError):
                left_out.add(header_named(name.decode(errors="backslashreplace")))
                if table.room < 0:
                    left_out.add(f"more than {MAX_VALUES} values in the headers")
                    break
                at = _behind(octets, start, end)
    except _Broken:
        left_out.add("the headers that follow")
    return without_odd_compression(headers, left_out)


class _Table:
    """Reads the values of one table; `room` counts how many more are allowed."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.room = MAX_VALUES

    def value(self, at: int, end: int, depth: int) -> tuple[Any, int]:
        """Read a type and its value; returns the value and where it ends. Raises _Unreadable."""
        octets = self._octets
        self.room -= 1
        if self.room < 0 or at >= end:
            raise _Broken
        kind, at = octets[at], at + 1
        if (number := _NUMBERS.get(kind)) is not None:
            return _number(number, octets, at, end)
        if kind in _SIZED:
            size, at = _number(_LENGTH, octets, at, end)
            stop = _end(at, size, end)
            return self._sized(kind, at, stop, depth - 1), stop
        if kind == _BOOLEAN:
            return bool(octets[at]), _end(at, 1, end)
        if kind == _TIME:
            seconds, at = _number(_MOMENT, octets, at, end)
            return _moment(seconds), at
        if kind == _SCALED:
            stop = _end(at, _DECIMAL.size, end)
            scale, digits = _DECIMAL.unpack_from(octets, at)
            return Decimal(digits) / Decimal(10**scale), stop
        if kind == _VOID:
            return None, at
        raise _Broken

    def _sized(self, kind: int, at: int, end: int, depth: int) -> Any:
        octets = self._octets
        if kind == _BYTES:
            return octets[at:end]
        if kind == _STRING:
            try:
                return octets[at:end].decode()
            except UnicodeDecodeError:
                return octets[at:end]
        if depth <= 0:
            raise _Unreadable
        if kind == _ARRAY:
            values = []
            while at < end:
                value, at = self.value(at, end, depth)
                values.append(value)
            return values
        table = {}
        while at < end:
            name, at = _short(octets, at, end)
            value, at = self.value(at, end, depth)
            table[_name(name)] = value
        return table


_SIZED: Final = frozenset({_STRING, _BYTES, _TABLE, _ARRAY})


def _behind(octets: bytes, at: int, end: int) -> int:
    """Return where an unreadable value ends. Raises _Broken."""
    kind = octets[at] if at < end else 0
    if kind in _SIZED:
        size, at = _number(_LENGTH, octets, at + 1, end)
        return _end(at, size, end)
    if (number := _NUMBERS.get(kind)) is not None:
        return _end(at + 1, number.size, end)
    if kind in _FIXED:
        return _end(at + 1, _FIXED[kind], end)
    raise _Broken


_FIXED: Final[Mapping[int, int]] = MappingProxyType(
    {_BOOLEAN: 1, _TIME: _MOMENT.size, _SCALED: _DECIMAL.size, _VOID: 0}
)


def _number(kind: Struct, octets: bytes, at: int, end: int) -> tuple[Any, int]:
    stop = at + kind.size
    if stop > end:
        raise _Broken
    return kind.unpack_from(octets, at)[0], stop


def _short(octets: bytes, at: int, end: int) -> tuple[bytes, int]:
    if at >= end:
        raise _Broken
    stop = _end(at + 1, octets[at], end)
    return octets[at + 1 : stop], stop


def _end(at: int, size: int, end: int) -> int:
    stop = at + size
    if stop > end:
        raise _Broken
    return stop


def _name(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise _Unreadable from None


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        raise _Unreadable from None
