"""From the bytes in a Redis list to what kombu delivers; any bytes become a message."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

import orjson
from kombu.utils.json import loads

from tasks.messages.dead_letter import Cut
from worker.broker.message import (
    BEGINNING_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    NOTE,
    ODD,
    PLAIN,
    LeftOut,
    Note,
    is_text,
    most_body_bytes,
    plain_headers,
    without_odd_compression,
)
from worker.broker.redis.layout import DELIVERIES_HEADER

# Bytes that are not kombu's envelope are delivered as they are, with this content type.
RAW_CONTENT_TYPE: Final = "application/octet-stream"
RAW_CONTENT_ENCODING: Final = "binary"
# The largest envelope, without its body in base64.
ENVELOPE_BYTES: Final = 1024 * 1024
# If a parser fails, as on a value that is nested too deeply, the envelope is read token by token,
# up to this many. A member counts as several, since its value is parsed by itself.
MAX_TOKENS: Final = 300_000
MEMBER_TOKENS: Final = 100

_TEXTS: Final = (
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)
_NUMBERS: Final[Mapping[str, int]] = MappingProxyType(
    {"delivery_mode": 255, "priority": 255, "timestamp": 2**64 - 1}
)
# Every envelope has at least one of these beside the body, and no job has any.
_BESIDE: Final = frozenset({"headers", "properties", "content-type", "content-encoding"})

# What queue_take.lua leaves of a message that is too large.
_STUB: Final = re.compile(rb'\A\{"overture-cut":\{"bytes":(\d{1,15}),"sha1":"([0-9a-f]{40})"\}\}\n')
_SPACE: Final = rb"[ \t\n\r]*+"
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_OPENING: Final = re.compile(_SPACE + rb"\{" + _SPACE)
_NAME: Final = re.compile(rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE, re.DOTALL)
_SCALAR: Final = re.compile(_STRING + rb'|[^\[\]{}:," \t\n\r]++', re.DOTALL)
_TOKEN: Final = re.compile(rb"([\[{])|([\]}])|" + _STRING + rb'|[^\[\]{}"]++', re.DOTALL)
_COMMA: Final = re.compile(_SPACE + rb"," + _SPACE)
_CLOSING: Final = re.compile(_SPACE + rb"\}" + _SPACE + rb"\Z")


class _NoEnvelope(Exception):
    """The bytes are not kombu's envelope."""


class _Fault(Exception):
    """It is an envelope, but its body cannot be read; the text says why."""


def read_envelope(payload: bytes, *, lease: str, queue: str, deliveries: int) -> dict[str, Any]:
    """Return the dictionary for kombu's virtual Message, for any bytes.

    `deliveries` counts the earlier deliveries, which failed. Bytes that are no envelope become the
    body of a message.
    """
    message = _read(payload)
    headers, properties = message["headers"], message["properties"]
    headers.pop(DELIVERIES_HEADER, None)
    if deliveries:
        headers[DELIVERIES_HEADER] = deliveries
    properties["delivery_tag"] = lease
    properties["delivery_info"] = {
        "exchange": "",
        "routing_key": queue,
        **properties.get("delivery_info", {}),
        "queue": queue,
        "redelivered": deliveries > 0,
    }
    return message


def most_element_bytes() -> int:
    """Return the largest element of a list that is parsed."""
    return most_body_bytes() * 4 // 3 + ENVELOPE_BYTES


def _read(payload: bytes) -> dict[str, Any]:
    most = most_body_bytes()
    if stub := _STUB.match(payload):
        cut = Cut(size=int(stub[1]), sha1=stub[2].decode())
        return _raw(payload[stub.end() :], Note(cut=cut))
    if len(payload) > most_element_bytes():
        # Parsing it would take several times its size in memory.
        return _beginning(payload)
    try:
        message = _message(*_members(payload))
    except _NoEnvelope:
        message = _raw(payload, PLAIN)
    except _Fault as fault:
        message = _raw(payload, Note(fault=str(fault)))
    return message if len(message["body"]) <= most else _beginning(message["body"])


def _beginning(body: bytes) -> dict[str, Any]:
    cut = Cut(size=len(body), sha256=sha256(body).hexdigest())
    return _raw(body[:BEGINNING_BYTES], Note(cut=cut))


def _raw(body: bytes, note: Note) -> dict[str, Any]:
    return {
        "body": body,
        "content-type": RAW_CONTENT_TYPE,
        "content-encoding": RAW_CONTENT_ENCODING,
        "headers": {},
        "properties": {NOTE: note},
    }


def _members(payload: bytes) -> tuple[Mapping[str, object], bool]:
    """Read an envelope, with ODD for a value that cannot be read; True if it is surely in order.

    Raises _NoEnvelope.
    """
    # Only kombu's own reader knows its notation for types that JSON lacks, such as times.
    if b"__type__" not in payload:
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError:
            # orjson is stricter: Python's reader accepts NaN and half of a surrogate pair.
            pass
        else:
            if isinstance(message, dict):
                # With so few brackets and commas nothing can be nested too deeply, or be too much.
                levels = payload.count(b"{") + payload.count(b"[")
                return message, levels <= MAX_DEPTH and payload.count(b",") < MAX_VALUES
            raise _NoEnvelope
    members = {
        name: _object(octets) if octets[:1] == b"{" else _value(octets)
        for name, octets in _split(payload)
        if name == "body" or name in _BESIDE
    }
    return members, False


def _object(octets: bytes) -> object:
    """Read an object member by member, so that a bad value affects only itself."""
    try:
        return {name: _value(value) for name, value in _split(octets)}
    except _NoEnvelope:
        return ODD


def _value(octets: bytes) -> object:
    try:
        return loads(octets)
    except Exception:  # noqa: BLE001 - a stranger's bytes can break a parser in any way
        return ODD


def _split(octets: bytes) -> Iterator[tuple[str, bytes]]:
    """Split a JSON object into names and the bytes of values, however deeply nested.

    Raises _NoEnvelope.
    """
    at = _after(_OPENING, octets, 0)
    if _CLOSING.match(octets, at):
        return
    room = MAX_TOKENS
    while True:
        name = _NAME.match(octets, at)
        if name is None or room <= 0:
            raise _NoEnvelope
        start = name.end()
        at, room = _skip(octets, start, room - MEMBER_TOKENS)
        text = _value(name[1])
        if isinstance(text, str):
            yield text, octets[start:at]
        if _CLOSING.match(octets, at):
            return
        at = _after(_COMMA, octets, at)


def _skip(octets: bytes, at: int, room: int) -> tuple[int, int]:
    """Return where a value ends, and how many tokens are left. Raises _NoEnvelope."""
    if octets[at : at + 1] not in {b"[", b"{"}:
        return _after(_SCALAR, octets, at), room
    depth = 0
    while room > 0 and (token := _TOKEN.match(octets, at)):
        at, room = token.end(), room - 1
        depth += (token[1] is not None) - (token[2] is not None)
        if depth == 0:
            return at, room
    raise _NoEnvelope


def _after(pattern: re.Pattern[bytes], octets: bytes, at: int) -> int:
    found = pattern.match(octets, at)
    if found is None:
        raise _NoEnvelope
    return found.end()


def _message(members: Mapping[str, object], is_in_order: bool) -> dict[str, Any]:  # noqa: FBT001 - of `_members`
    """Build the message from an envelope's members. Raises _NoEnvelope or _Fault."""
    if "body" not in members or _BESIDE.isdisjoint(members):
        raise _NoEnvelope
    left_out = LeftOut()
    given = _taken(members, "properties", dict, left_out)
    headers: dict[str, Any] = _taken(members, "headers", dict, left_out) or {}
    properties = _properties(given or {}, left_out)
    message = {
        "body": _body(members["body"], given),
        "content-type": _taken(members, "content-type", str, left_out),
        "content-encoding": _taken(members, "content-encoding", str, left_out),
        "headers": (
            without_odd_compression(headers, left_out)
            if is_in_order
            else plain_headers(headers.items(), left_out)
        ),
        "properties": properties,
    }
    if names := left_out.names():
        properties[NOTE] = Note(names)
    return message


def _body(body: object, properties: Mapping[str, object] | None) -> bytes:
    """Decode the body as the properties say. Raises _Fault."""
    if not isinstance(body, str) or not is_text(body):
        raise _Fault("the body in kombu's envelope is no text")
    if properties is None:
        return _likely(body)
    encoding = properties.get("body_encoding")
    if encoding is None or encoding == "utf-8":
        return body.encode()
    if encoding != "base64":
        raise _Fault(f"the body_encoding {encoding!r:.40} in kombu's envelope is not known")
    if (octets := _from_base64(body)) is None:
        raise _Fault("the body in kombu's envelope is not base64, as it says")
    return octets


def _likely(body: str) -> bytes:
    """Decode a body of unknown encoding: the first way that could be a job."""
    for octets in (body.encode(), _from_base64(body)):
        if octets and octets.lstrip()[:1] in {b"{", b"["}:
            return octets
    raise _Fault("the properties in kombu's envelope are none, and say nothing of its body")


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return None


def _properties(given: Mapping[str, object], left_out: LeftOut) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name in _TEXTS:
        if (text := _taken(given, name, str, left_out)) is not None:
            properties[name] = text
    for name, most in _NUMBERS.items():
        number = _taken(given, name, int, left_out)
        if number is not None and 0 <= number <= most:
            properties[name] = number
        elif number is not None:
            left_out.add(name)
    information = _taken(given, "delivery_info", dict, left_out) or {}
    properties["delivery_info"] = {
        name: value
        for name in ("exchange", "routing_key")
        if (value := _taken(information, name, str, left_out)) is not None
    }
    return properties


def _taken(given: Mapping[str, object], name: str, kind: type, left_out: LeftOut) -> Any:
    """Return a member if it has this type, else None; a wrong type is noted in `left_out`."""
    value = given.get(name)
    if value is None or (isinstance(value, kind) and is_text(value)):
        return value
    left_out.add(name)
    return None
