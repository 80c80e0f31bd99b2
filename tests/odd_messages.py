"""Messages whose properties or envelope nobody would write on purpose, around valid jobs and none.

Each is put on the jobs queue as its producer would leave it there: on RabbitMQ by the octets of its
content header, on Redis as the element of a list.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from redis import Redis

from config.names import JOBS_QUEUE
from tests.raw_amqp import RawProducer, long, nested, properties, short, table

PERSISTENT: Final = b"\x02"
# Milliseconds where seconds are meant: the year 57879.
LATE: Final = b"T" + struct.pack(">Q", 1_764_000_000_000)
DEEP: Final = 2_000


def text(value: bytes) -> bytes:
    """Write a header's value as AMQP's long string."""
    return b"S" + long(value)


def headers(*fields: tuple[bytes, bytes]) -> bytes:
    """Write persistent properties with headers, and a content type as producers give it."""
    return properties(
        content_type=short(b"application/json"), headers=table(*fields), delivery_mode=PERSISTENT
    )


# Every one of them is taken by RabbitMQ 3.10 as it stands.
ON_RABBITMQ: Final[Mapping[str, bytes]] = {
    "a moment in milliseconds": headers((b"sent-at", LATE)),
    "such a moment deep within": headers((b"trace", b"F" + table((b"a", b"A" + long(LATE))))),
    "headers nested deeply": headers((b"deep", nested(DEEP))),
    "a header's name that is no UTF-8": headers((b"caf\xe9", text(b"1"))),
    "a header's value that is no UTF-8": headers((b"name", text(b"caf\xe9"))),
    "a task that is a number": headers((b"task", b"I" + struct.pack(">i", 17))),
    "a task that is bytes": headers((b"task", text(b"\xff\xfe"))),
    "a task that is a list": headers((b"task", b"A" + long(text(b"a")))),
    "void, infinite smallness and a long decimal": headers(
        (b"a", b"V"), (b"b", b"d" + bytes(7) + b"\x01"), (b"c", b"D\xff\x7f\xff\xff\xff")
    ),
    "a compression of its own": headers((b"compression", b"A" + long(text(b"gzip")))),
    "a compression that nobody knows": headers((b"compression", text(b"snappy"))),
    "Celery's times as numbers": headers(
        (b"eta", b"l" + struct.pack(">q", 2**62)),
        (b"expires", b"d" + struct.pack(">d", 1e308)),
        (b"ignore_result", text(b"perhaps")),
        (b"timelimit", b"A" + long(b"V" + text(b"x"))),
    ),
    "an odd time of its being enqueued": headers((b"enqueued-at", b"T" + bytes(8))),
    "an odd trace": headers((b"traceparent", text(b"\x00\xff")), (b"tracestate", b"V")),
    "the broker's own headers, invented": headers(
        (b"x-death", text(b"never")), (b"x-delivery-count", text(b"many"))
    ),
    "two thousand headers": headers(*((b"h%d" % number, b"t\x01") for number in range(2_000))),
    "a message id that is no UTF-8": properties(
        delivery_mode=PERSISTENT, message_id=short(b"\xff")
    ),
    "a content encoding that is no UTF-8": properties(
        content_encoding=short(b"\xe9"), delivery_mode=PERSISTENT
    ),
    "a content type that is no UTF-8": properties(
        content_type=short(b"\xe9/json"), delivery_mode=PERSISTENT
    ),
    "a type that is no UTF-8": properties(delivery_mode=PERSISTENT, type=short(b"\xc3(")),
    "a correlation id and its like that are no UTF-8": properties(
        delivery_mode=PERSISTENT,
        correlation_id=short(b"\xff"),
        reply_to=short(b"\xed\xa0\x80"),
        app_id=short(b"\xf5"),
        cluster_id=short(b"\x80"),
    ),
    "the highest priority and time there can be": properties(
        delivery_mode=PERSISTENT, priority=b"\xff", timestamp=b"\xff" * 8
    ),
}


def envelope(body: bytes, **changes: object) -> dict[str, Any]:
    """Make what kombu's ordinary Redis transport would push."""
    return {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {},
        "properties": {
            "delivery_tag": "its producer's",
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": JOBS_QUEUE},
            "delivery_mode": 2,
            "priority": 0,
        },
        **changes,
    }


def written(body: bytes, **changes: object) -> bytes:
    """Write such an envelope, some members changed."""
    return json.dumps(envelope(body, **changes)).encode()


def with_properties(body: bytes, **changes: object) -> bytes:
    """Write such an envelope, some of its properties changed; None leaves one out."""
    changed = {**envelope(body)["properties"], **changes}
    return written(
        body, properties={name: value for name, value in changed.items() if value is not None}
    )


def _spliced(body: bytes, member: str) -> bytes:
    """Write such an envelope with one more member, as it is given."""
    return b"{" + member.encode() + b"," + written(body)[1:]


# What holds a valid job, and is a job therefore.
ON_REDIS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "no delivery tag": lambda body: with_properties(body, delivery_tag=None),
    "delivery info that is a list": lambda body: with_properties(body, delivery_info=[1]),
    "a priority that is a text": lambda body: with_properties(body, priority="nine"),
    "a body that is plain text": lambda body: with_properties(body, body_encoding=None).replace(
        base64.b64encode(body), json.dumps(body.decode())[1:-1].encode()
    ),
    "headers that are a list": lambda body: written(body, headers=[1, 2]),
    "headers that are void": lambda body: written(body, headers=None),
    "a content type that is a number": lambda body: written(body, **{"content-type": 7}),
    "a content encoding that is a table": lambda body: written(body, **{"content-encoding": {}}),
    "a number beyond any": lambda body: written(body, headers={"n": 0}).replace(
        b'{"n": 0}', b'{"n": 1e999, "m": ' + b"9" * 5_000 + b"}"
    ),
    "half a surrogate pair": lambda body: written(body, headers={"n": "\ud800", "\udc00": 1}),
    "kombu's notation of a moment that is none": lambda body: written(
        body, headers={"at": {"__type__": "datetime", "__value__": "yesterday"}}
    ),
    "kombu's notation of a type that is none": lambda body: written(
        body, headers={"at": {"__type__": ["x"], "__value__": {}}}
    ),
    "headers nested deeply": lambda body: written(body, headers={"deep": 0}).replace(
        b'{"deep": 0}', b'{"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    ),
    "a member nobody knows, nested deeply": lambda body: _spliced(
        body, '"x": ' + "[" * 100_000 + "]" * 100_000
    ),
    "a task that is a list": lambda body: written(body, headers={"task": [1]}),
    "a compression that nobody knows": lambda body: written(
        body, headers={"compression": "snappy"}
    ),
    "Celery's times as numbers": lambda body: written(body, headers={"eta": 5, "expires": -1}),
}


def put_on_rabbitmq(url: str, messages: Iterable[tuple[bytes, bytes]]) -> None:
    """Publish bodies, each with the octets of its properties."""
    with RawProducer(url) as producer:
        for body, octets in messages:
            producer.publish(body, octets)


def put_on_redis(url: str, elements: Iterable[bytes]) -> None:
    """Push elements to the list of the jobs queue."""
    with Redis.from_url(url) as client:
        for element in elements:
            client.lpush(JOBS_QUEUE, element)
