"""A message to publish, written as AMQP frames.

py-amqp builds the same octets in a general way, which takes several times as long. Sources: AMQP
0-9-1, 2.3.5 (frames) and 4.2.6 (content), and its XML for the class basic.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from amqp.serialization import dumps

from tasks.messages.outgoing import PERSISTENT, Outgoing
from worker.broker.confirms import Unsendable

# A frame is its head (type, channel, size), the payload and a closing octet.
HEAD: Final = Struct(">BHI")
FRAME_END: Final = 0xCE

_METHOD, _HEADER, _BODY = 1, 2, 3
_END: Final = bytes([FRAME_END])
_BASIC: Final = 60
_PUBLISH: Final = Struct(">HHH")  # class, method 40, and a field that is reserved
_MANDATORY: Final = b"\x01"
_CONTENT: Final = Struct(">HHQH")  # class, weight, octets of the body, flags of the properties
# The properties that follow: content type and encoding, headers, delivery mode, priority, message
# id; and type, where there is one.
_FLAGS: Final = 1 << 15 | 1 << 14 | 1 << 13 | 1 << 12 | 1 << 11 | 1 << 7
_TYPE_FLAG: Final = 1 << 5
_KNOWN: Final = 256
_SHOWN: Final = 120


def publish(message: Outgoing, *, channel: int, frame_max: int) -> bytes:
    """Write a message as the frames of a mandatory basic.publish, persistent.

    `frame_max` is the broker's largest frame in octets, head and end included. Raises Unsendable,
    and nothing else.
    """
    body = message.body
    most = frame_max - HEAD.size - 1
    try:
        content = _properties(message)
        parts: list[bytes | memoryview] = [_method(channel, message.exchange, message.routing_key)]
    except Exception as error:  # noqa: BLE001 - whatever AMQP has no form for, of any type and depth
        reason = f"{type(error).__name__}: {str(error)[:_SHOWN]}"
        raise Unsendable(f"it cannot be written as AMQP ({reason})") from None
    if len(content) > most:
        # The broker would close the connection, with every other message on it.
        raise Unsendable(f"its headers take {len(content)} octets, and a frame holds {most}")
    _add_frame(parts, _HEADER, channel, content)
    view = memoryview(body)
    for start in range(0, len(body), most):
        _add_frame(parts, _BODY, channel, view[start : start + most])
    return b"".join(parts)


def _properties(message: Outgoing) -> bytes:
    """Write the content header."""
    return b"".join(
        (
            _CONTENT.pack(
                _BASIC, 0, len(message.body), _FLAGS | (_TYPE_FLAG if message.type else 0)
            ),
            _content_type(message.content_type, message.content_encoding),
            dumps("F", (message.headers,)),
            bytes((PERSISTENT, message.priority)),
            _short(message.message_id),
            _short(message.type) if message.type else b"",
        )
    )


def _add_frame(
    parts: list[bytes | memoryview], kind: int, channel: int, payload: bytes | memoryview
) -> None:
    parts += HEAD.pack(kind, channel, len(payload)), payload, _END


@lru_cache(maxsize=_KNOWN)
def _method(channel: int, exchange: str, routing_key: str) -> bytes:
    arguments = _PUBLISH.pack(_BASIC, 40, 0) + _short(exchange) + _short(routing_key) + _MANDATORY
    return HEAD.pack(_METHOD, channel, len(arguments)) + arguments + _END


@lru_cache(maxsize=_KNOWN)
def _content_type(name: str, encoding: str) -> bytes:
    return _short(name) + _short(encoding)


def _short(text: str) -> bytes:
    # py-amqp reads names with this error handler, and a delayed copy keeps them as they came.
    octets = text.encode("utf-8", "surrogatepass")
    return bytes((len(octets),)) + octets
