"""A producer whose every octet a test decides: properties that no client library would write."""

from __future__ import annotations

import struct
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import amqp
from amqp import spec

from config.names import JOBS_EXCHANGE_NAME, JOBS_QUEUE

FRAME_BYTES: Final = 100_000
END: Final = b"\xce"

# The flags of basic's properties (AMQP 0-9-1, the class basic), in the order of their values.
FLAGS: Final = {
    "content_type": 1 << 15,
    "content_encoding": 1 << 14,
    "headers": 1 << 13,
    "delivery_mode": 1 << 12,
    "priority": 1 << 11,
    "correlation_id": 1 << 10,
    "reply_to": 1 << 9,
    "expiration": 1 << 8,
    "message_id": 1 << 7,
    "timestamp": 1 << 6,
    "type": 1 << 5,
    "user_id": 1 << 4,
    "app_id": 1 << 3,
    "cluster_id": 1 << 2,
}


def short(octets: bytes) -> bytes:
    """Write a short string."""
    return bytes((len(octets),)) + octets


def long(octets: bytes) -> bytes:
    """Write what is preceded by its length in four octets: a long string, a table, an array."""
    return struct.pack(">I", len(octets)) + octets


def table(*fields: tuple[bytes, bytes]) -> bytes:
    """Write a table of names and values, each value with its type in front."""
    return long(b"".join(short(name) + value for name, value in fields))


def nested(levels: int) -> bytes:
    """Write the value of a header that is a table in a table in a table."""
    value = b"I" + struct.pack(">i", 1)
    for _ in range(levels):
        value = b"F" + table((b"a", value))
    return value


def properties(**values: bytes) -> bytes:
    """Write basic's properties: their flags, and each value's octets as they are given."""
    flags = sum(FLAGS[name] for name in values)
    return struct.pack(">H", flags) + b"".join(values[name] for name in FLAGS if name in values)


class RawProducer:
    """Publishes to RabbitMQ, persistent or not as the octets say; each message is confirmed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = amqp.Connection(
            f"{parts.hostname}:{parts.port}",
            userid=parts.username or "",
            password=parts.password or "",
            virtual_host="/",
            connect_timeout=5,
        )

    def __enter__(self) -> Self:
        self._connection.connect()
        self._channel: Any = self._connection.channel()
        self._channel.confirm_select()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.collect()

    def publish(
        self,
        body: bytes,
        octets: bytes,
        *,
        exchange: str = JOBS_EXCHANGE_NAME,
        routing_key: bytes = JOBS_QUEUE.encode(),
    ) -> None:
        """Publish a body with these properties. Raises amqp.AMQPError where the broker refuses."""
        method = struct.pack(">HHH", *spec.Basic.Publish, 0)
        method += short(exchange.encode()) + short(routing_key) + b"\x01"
        self._write(1, method)
        self._write(2, struct.pack(">HHQ", spec.Basic.CLASS_ID, 0, len(body)) + octets)
        for start in range(0, len(body), FRAME_BYTES):
            self._write(3, body[start : start + FRAME_BYTES])
        confirmed: list[Any] = []
        self._channel.events["basic_ack"].add(lambda *args: confirmed.append(args))
        while not confirmed:
            self._connection.drain_events(timeout=60)
        self._channel.events["basic_ack"].clear()

    def _write(self, kind: int, payload: bytes) -> None:
        head = struct.pack(">BHI", kind, self._channel.channel_id, len(payload))
        self._connection.transport.write(head + payload + END)
