"""Strict reading, and compact writing, of the JSON of messages.

Python's own reader accepts what RFC 8259 does not (NaN), silently keeps the last of two equal keys,
and can raise RecursionError. Here everything is refused that two readers could understand
differently.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

import orjson

MAX_DEPTH: Final = 64
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1
MAX_NUMBER_CHARACTERS: Final = 64

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_MAX_QUOTE: Final = 64


class MalformedJSON(ValueError):
    """The bytes are not JSON that every reader understands in the same way."""


def loads_strict(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> object:
    """Read one JSON text from unchecked bytes.

    Refuses a text that is longer than `max_bytes`, not UTF-8, nested deeper than `max_depth` or
    followed by anything; NaN and Infinity, integers beyond 64 bits, half of a surrogate pair, and a
    repeated key. Raises `MalformedJSON`, whose message is one sentence, and nothing else.
    """
    if len(data) > max_bytes:
        raise MalformedJSON(f"the message is {len(data)} bytes long; the limit is {max_bytes}")
    if not data:
        raise MalformedJSON("the message is empty; send one JSON text")
    if data.startswith(_BYTE_ORDER_MARK):
        raise MalformedJSON("the message begins with a byte order mark; send UTF-8 without one")
    try:
        value: object = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise MalformedJSON(
            f"the message is not UTF-8: invalid byte at position {error.start}"
        ) from None
    except json.JSONDecodeError as error:
        # Some of Python's messages end in "at", which the position then follows.
        fault = error.msg.removesuffix(" at")
        raise MalformedJSON(
            f"the message is not JSON: {fault} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    if is_too_deep(value, data, max_depth):
        raise _too_deep(max_depth)
    if _SURROGATE_ESCAPE.search(data):
        _refuse_lone_surrogates(value)
    return value


def dumps_compact(value: object, *, sort_keys: bool = False) -> bytes:
    """Write JSON as UTF-8 without white space; with `sort_keys`, equal values give equal bytes.

    Raises ValueError or TypeError for values that `loads_strict` never returns: NaN, half of a
    surrogate pair, other types, more levels than orjson writes (254).
    """
    text = orjson.dumps(value, option=_PLAIN | orjson.OPT_SORT_KEYS if sort_keys else _PLAIN)
    if b"null" in text:
        # orjson writes NaN and Infinity as null; Python's own writer refuses them.
        _ASCII.encode(value)
    # Copied, because orjson's own buffer can be sixteen times as long as its text.
    return bytes(memoryview(text))


def dumps_ascii(value: object) -> str:
    """Write JSON without white space and in ASCII, for a header."""
    return _ASCII.encode(value)


def is_too_deep(value: object, text: bytes, most: int = MAX_DEPTH) -> bool:
    """Tell whether a value has more than `most` levels; `text` is its JSON."""
    # An ordinary message has fewer brackets than `most`, and its values need not be visited.
    return text.count(b"{") + text.count(b"[") > most and _depth(value) > most


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedJSON(f"an object contains the key {_quoted(name)} more than once")
            seen.add(name)
    return value


def _integer(text: str) -> int:
    # The length is checked first: the time to read a long number grows with its square.
    if len(text) > MAX_NUMBER_CHARACTERS or not MIN_INTEGER <= (value := int(text)) <= MAX_INTEGER:
        raise MalformedJSON(
            "the message contains an integer that does not fit in 64 bits; send it as a string"
        )
    return value


def _float(text: str) -> float:
    if len(text) > MAX_NUMBER_CHARACTERS or math.isinf(value := float(text)):
        raise MalformedJSON(
            "the message contains a number beyond double precision; send it as a string"
        )
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJSON(f"the message contains {name}, which JSON does not allow")


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _too_deep(most: int) -> MalformedJSON:
    return MalformedJSON(f"the message is nested deeper than {most} levels")


def _refuse_lone_surrogates(value: object) -> None:
    try:
        dumps_compact(value)
    except orjson.JSONEncodeError:
        raise MalformedJSON(
            "the message contains half of a surrogate pair (\\ud800-\\udfff)"
        ) from None


def _quoted(name: str) -> str:
    return json.dumps(name if len(name) <= _MAX_QUOTE else name[:_MAX_QUOTE] + "…")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_refuse_constant,
)
# Made once: json.dumps would make one at every call.
_ASCII: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
# Types that JSON does not have are refused; orjson would convert them.
_PLAIN: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
