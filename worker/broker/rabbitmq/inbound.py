"""From RabbitMQ's frames to messages, in place of py-amqp's reader, which some content breaks.

A body that is too large is dropped frame by frame as it comes; its beginning, size and digest are
kept. Source: AMQP 0-9-1, 4.2.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from struct import Struct
from typing import Any, Final

from amqp import spec
from amqp.basic_message import Message
from amqp.exceptions import UnexpectedFrame

from tasks.messages.dead_letter import Cut
from worker.broker.message import (
    BEGINNING_BYTES,
    COMPRESSION,
    NOTE,
    PLAIN,
    Note,
    most_body_bytes,
)
from worker.broker.rabbitmq.properties import HEADERS, read_properties

Frame = tuple[int, int, bytes]

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_SIGNATURE: Final = Struct(">HH")
_CONTENT: Final = Struct(">HHQ")  # class, weight, octets of the body
# The arguments of the methods with a body: "s" is a short string, a number that many octets.
_ARGUMENTS: Final = {
    spec.Basic.Deliver: ("s", 8, 1, "s", "s"),
    spec.Basic.GetOk: (8, 1, "s", "s", 4),
    spec.Basic.Return: (2, "s", "s", "s"),
}


class Content:
    """A message that is being received: its method has come, its header and body follow."""

    def __init__(self, method: tuple[int, int], arguments: bytes) -> None:
        self.method = method
        self.arguments = arguments
        self.message = Message(frame_method=method, frame_args=arguments)
        self._parts: list[bytes] = []
        self._missing = 0
        self._room = 0
        self._digest: Any = None

    def head(self, octets: bytes) -> bool:
        """Read the header; returns whether the message is complete."""
        _, _, size = _CONTENT.unpack_from(octets)
        self._missing = self._room = size
        properties, left_out = read_properties(octets, _CONTENT.size)
        if left_out:
            properties[NOTE] = Note(left_out)
        if size > most_body_bytes():
            self._digest = sha256()
            self._room = BEGINNING_BYTES
        self.message.properties = properties
        self.message.body_size = size
        return self._is_whole()

    def add(self, octets: bytes) -> bool:
        """Add a part of the body; returns whether the message is complete."""
        self._missing -= len(octets)
        if self._digest is not None:
            self._digest.update(octets)
        if self._room > 0:
            self._parts.append(octets[: self._room])
            self._room -= len(octets)
        return self._is_whole()

    def _is_whole(self) -> bool:
        if self._missing > 0:
            return False
        message, properties = self.message, self.message.properties
        message.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        message.ready = True
        if self._digest is not None:
            cut = Cut(size=message.body_size, sha256=self._digest.hexdigest())
            properties[NOTE] = Note(properties.get(NOTE, PLAIN).left_out, cut)
            # The beginning alone cannot be decompressed.
            properties.get(HEADERS, {}).pop(COMPRESSION, None)
        return True


def frame_handler(
    connection: Any, callback: Callable[[int, tuple[int, int], bytes, Any], object]
) -> Callable[[Frame], bool]:
    """Return a function for py-amqp that takes every frame, and calls back with whole methods.

    It raises UnexpectedFrame, and what the callback raises.
    """
    coming: dict[int, Content] = {}

    def on_frame(frame: Frame) -> bool:
        kind, channel, octets = frame
        connection.bytes_recv += 1
        if kind == _HEARTBEAT:
            return False
        content = coming.get(channel)
        if kind == _METHOD and content is None:
            method = _SIGNATURE.unpack_from(octets)
            if method in _ARGUMENTS:
                coming[channel] = Content(method, octets)
                return False
            callback(channel, method, octets, None)
            return True
        if kind not in {_HEADER, _BODY} or content is None:
            raise UnexpectedFrame(f"a frame of type {kind} comes where another is due")
        if not (content.head(octets) if kind == _HEADER else content.add(octets)):
            return False
        del coming[channel]
        arguments = readable_arguments(content.method, content.arguments)
        callback(channel, content.method, arguments, content.message)
        return True

    return on_frame


def readable_arguments(method: tuple[int, int], octets: bytes) -> bytes:
    """Return a method's arguments with everything removed from their texts that is not UTF-8.

    A routing key can be any octets, if the queue is bound by a pattern.
    """
    try:
        for part in _texts(method, octets):
            part.decode()
    except UnicodeDecodeError:
        return _without_odd_octets(method, octets)
    return octets


def _texts(method: tuple[int, int], octets: bytes) -> Iterator[bytes]:
    at = _SIGNATURE.size
    for kind in _ARGUMENTS[method]:
        if isinstance(kind, int):
            at += kind
        else:
            size = octets[at]
            yield octets[at + 1 : at + 1 + size]
            at += 1 + size


def _without_odd_octets(method: tuple[int, int], octets: bytes) -> bytes:
    parts, at = [octets[: _SIGNATURE.size]], _SIGNATURE.size
    for kind in _ARGUMENTS[method]:
        if isinstance(kind, int):
            parts.append(octets[at : at + kind])
            at += kind
        else:
            size = octets[at]
            text = octets[at + 1 : at + 1 + size].decode(errors="ignore").encode()
            parts += bytes((len(text),)), text
            at += 1 + size
    return b"".join((*parts, octets[at:]))
