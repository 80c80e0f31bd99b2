"""Reading what lies in a Redis list."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport import virtual

from tasks.messages.dead_letter import Cut
from tests.odd_messages import ON_REDIS
from worker.broker.message import BEGINNING_BYTES, MAX_VALUES, bound, most_body_bytes, received
from worker.broker.redis.envelope import RAW_CONTENT_TYPE, read_envelope
from worker.broker.redis.layout import DELIVERIES_HEADER, unwrapped

# Reading is for the event loop: whatever comes, others wait meanwhile. In seconds; much of it is
# for a machine that is busy.
SOON = 2.0

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
# What an envelope holds, with anything in any place.
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "body": JSON,
        "headers": JSON,
        "content-type": JSON,
        "content-encoding": JSON,
        "properties": JSON
        | st.fixed_dictionaries(
            {}, optional={"body_encoding": JSON, "delivery_info": JSON, "delivery_tag": JSON}
        ),
    },
)


class Channel:
    """As much of a channel as a message needs."""

    codecs = virtual.Channel.codecs
    decode_body = virtual.Channel.decode_body


def read(payload: bytes, *, deliveries: int = 0) -> Any:
    """Return the message that kombu makes of a payload."""
    envelope = read_envelope(payload, lease="lease", queue="jobs", deliveries=deliveries)
    channel: Any = Channel()
    return virtual.Message(envelope, channel=channel)


def envelope(**changes: object) -> bytes:
    """Write a message as kombu's producers do."""
    message = {
        "body": base64.b64encode(b'{"jobId": "1"}').decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"id": "1"},
        "properties": {
            "delivery_tag": "of the producer",
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "elsewhere"},
        },
        **changes,
    }
    return json.dumps(message).encode()


@given(st.binary() | JSON.map(json.dumps).map(str.encode))
def test_any_bytes_become_a_message(payload: bytes) -> None:
    """What kombu did not write is the body, to the byte."""
    message = read(payload)
    assert (message.body, message.content_type) == (payload, RAW_CONTENT_TYPE)
    assert message.delivery_tag == "lease"


@given(ENVELOPES)
def test_anything_that_looks_like_an_envelope_becomes_a_message(content: dict[str, Any]) -> None:
    """Wrong types in it never reach what would break on them."""
    message = read(json.dumps(content).encode())
    assert isinstance(message.body, bytes)
    assert isinstance(message.headers, dict)
    assert isinstance(message.delivery_info, dict)
    assert message.delivery_tag == "lease"


# An envelope's members with any octets in the place of a value, some of them JSON.
OCTETS = JSON.map(json.dumps).map(str.encode) | st.binary(max_size=20)
NEARLY = st.lists(
    st.tuples(
        st.sampled_from(["body", "headers", "properties", "content-type", "x", "\\ud800"]), OCTETS
    )
).map(lambda members: b"{" + b",".join(b'"%s": %s' % (n.encode(), v) for n, v in members) + b"}")


@given(NEARLY)
def test_what_is_nearly_an_envelope_becomes_a_message(payload: bytes) -> None:
    """Whatever it breaks on the way."""
    message = read(payload)
    assert isinstance(message.body, bytes)
    assert all(isinstance(name, str) for name in message.headers)


@pytest.mark.parametrize("write", ON_REDIS.values(), ids=ON_REDIS)
def test_what_is_odd_about_an_envelope_leaves_the_body(write: Callable[[bytes], bytes]) -> None:
    """And its odd members are named, where there are any."""
    body = b'{"jobId": "1", "consumerId": "c"}'
    started = time.thread_time()
    message = received(read(write(body)))
    assert time.thread_time() - started < SOON
    assert message.body == body
    assert message.fault == ""


def test_a_header_that_cannot_be_read_spoils_no_other() -> None:
    """It is named, and those around it are there."""
    deep = b'{"a": 1, "deep": %s, "b": {"c": [2]}}' % (b"[" * 100_000 + b"]" * 100_000)
    message = received(read(envelope(headers="here").replace(b'"here"', deep)))
    assert message.headers == {"a": 1, "b": {"c": [2]}}
    assert message.left_out == ("header 'deep'",)


def test_kombus_notation_is_read_where_it_is_right() -> None:
    """And only what is wrong is left out."""
    moment = {"__type__": "datetime", "__value__": "2026-01-31T09:00:00+00:00"}
    wrong = {"__type__": "datetime", "__value__": "yesterday"}
    message = received(read(envelope(headers={"at": moment, "wrong": wrong})))
    assert message.headers == {"at": datetime(2026, 1, 31, 9, tzinfo=UTC)}
    assert message.left_out == ("header 'wrong'",)


def test_as_many_headers_as_are_allowed_are_read() -> None:
    """The others are not."""
    message = received(read(envelope(headers={str(number): 1 for number in range(5_000)})))
    assert len(message.headers) == MAX_VALUES
    assert message.left_out == (f"more than {MAX_VALUES} values in the headers",)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (envelope(body="{}?"), "not base64"),
        (envelope(body=5), "no text"),
        (envelope(body="\ud800"), "no text"),
        (envelope(properties={"body_encoding": ["x"]}), "body_encoding ['x']"),
    ],
)
def test_a_body_that_cannot_be_taken_out_is_said(payload: bytes, said: str) -> None:
    """The whole entry is then the body."""
    message = received(read(payload))
    assert message.body == payload
    assert said in message.fault


@pytest.fixture
def _bounded() -> Iterator[None]:
    """Read as a worker does."""
    before = most_body_bytes()
    bound(1024)
    yield
    bound(before)


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize("factor", [1, 2])
def test_what_is_too_long_leaves_its_beginning(factor: int) -> None:
    """A body that is a little too long is cut, an entry that is much too long is not even read."""
    body = b"\x00" * (most_body_bytes() * factor + 1)
    payload = envelope(body=base64.b64encode(body).decode())
    whole = body if factor == 1 else payload
    message = received(read(payload))
    assert message.body == whole[:BEGINNING_BYTES]
    assert message.cut is not None
    assert message.cut == Cut(size=len(whole), sha256=sha256(whole).hexdigest())


def test_what_the_server_cut_is_told() -> None:
    """It hands out the beginning, with what it knows of the whole; also when that came back."""
    stub = b'{"overture-cut":{"bytes":209715200,"sha1":"%s"}}\n\x00\xffbeginning' % (b"0a" * 20)
    message = received(read(stub, deliveries=1))
    assert message.body == b"\x00\xffbeginning"
    assert message.cut == Cut(size=209_715_200, sha1="0a" * 20)
    assert message.cut.digest == f"SHA-1 {'0a' * 20}"


def test_a_count_in_front_is_taken_off() -> None:
    """As the script takes it off that hands messages out."""
    assert unwrapped(b'{"x-delivery-count":17,"body":1}') == b'{"body":1}'
    assert unwrapped(b'"x-delivery-count":1,\xff') == b"\xff"
    assert unwrapped(b'{"x-delivery-count":"1","body":1}') == b'{"x-delivery-count":"1","body":1}'


def test_kombus_own_message_is_read() -> None:
    """Its tag is the lease, whatever its producer called it; the rest stays."""
    message = read(envelope())
    assert message.body == b'{"jobId": "1"}'
    assert message.content_type == "application/json"
    assert message.headers == {"id": "1"}
    assert message.delivery_tag == "lease"
    assert message.delivery_info == {
        "exchange": "",
        "routing_key": "elsewhere",
        "queue": "jobs",
        "redelivered": False,
    }


def test_earlier_deliveries_are_told() -> None:
    """As RabbitMQ tells them: by a header, from the second delivery on."""
    message = read(envelope(), deliveries=2)
    assert message.headers[DELIVERIES_HEADER] == 2
    assert message.delivery_info["redelivered"] is True


def test_a_producer_cannot_invent_earlier_deliveries() -> None:
    """The count is the broker's to tell."""
    message = read(envelope(headers={DELIVERIES_HEADER: 7}))
    assert DELIVERIES_HEADER not in message.headers


def test_half_a_surrogate_pair_is_no_text() -> None:
    """JSON can hold what no bytes can: such an entry is delivered as it lies there."""
    payload = b'{"body": "\\ud800", "properties": {}}'
    message = read(payload)
    assert (message.body, message.content_type) == (payload, RAW_CONTENT_TYPE)
