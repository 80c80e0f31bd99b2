"""Reading what lies in a Redis list."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kombu.transport import virtual

from worker.redis_transport.envelope import RAW_CONTENT_TYPE, read_envelope
from worker.redis_transport.queue import DELIVERIES_HEADER

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
