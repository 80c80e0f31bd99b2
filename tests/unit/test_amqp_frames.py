"""Messages to publish are, to the octet, what py-amqp would write of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from amqp import Message
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from amqp.spec import Basic
from hypothesis import given
from hypothesis import strategies as st

from tasks.messages.outgoing import Outgoing
from worker.broker.confirms import Unsendable
from worker.broker.rabbitmq.frames import FRAME_END, HEAD, publish

FRAME_MAX = 4096
HEADERS = {
    "enqueued-at": "2026-03-02T09:00:00.000Z",
    "lang": "py",
    "retries": 0,
    "eta": None,
    "argsrepr": "(…)",
    "timelimit": [None, 2.5],
    "stamps": {"group": True},
}


def written_by_amqp(message: Outgoing, *, channel: int) -> bytes:
    """Have py-amqp write a message, as its own `basic_publish` does."""
    written = bytearray()
    transport = SimpleNamespace(write=written.extend)
    connection: Any = SimpleNamespace(frame_max=FRAME_MAX, transport=transport, bytes_sent=0)
    properties = {"delivery_mode": 2, "message_id": message.message_id, "type": message.type}
    content = Message(
        message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        application_headers=dict(message.headers),
        priority=message.priority,
        **properties,
    )
    arguments = dumps("Bssbb", (0, message.exchange, message.routing_key, True, False))
    frame_writer(connection, transport)(1, channel, Basic.Publish, arguments, content)
    return bytes(written)


@pytest.mark.parametrize("size", [0, 1, FRAME_MAX - 8, FRAME_MAX - 7, 3 * FRAME_MAX])
@pytest.mark.parametrize("headers", [{}, HEADERS], ids=["bare", "with headers"])
@pytest.mark.parametrize("kind", [None, "conversation.created"])
def test_a_message_is_what_amqp_would_write(
    size: int, headers: dict[str, Any], kind: str | None
) -> None:
    """Of any size: what exceeds a frame goes on in the next one."""
    message = Outgoing(
        exchange="conversations",
        routing_key="conversation.created.日本",
        body=b"x" * size,
        message_id="ü" * 126 + "\ud800",
        type=kind,
        priority=9,
        headers=headers,
    )
    ours = publish(message, channel=7, frame_max=FRAME_MAX)
    assert ours == written_by_amqp(message, channel=7)


def test_a_text_that_no_short_string_holds_is_an_error() -> None:
    """Its length would be taken for another one, and everything behind it for what it is not."""
    message = Outgoing(exchange="e", routing_key="k", body=b"", message_id="x" * 256)
    with pytest.raises(Unsendable, match="256"):
        publish(message, channel=1, frame_max=FRAME_MAX)


def test_headers_that_no_frame_holds_are_this_messages_fault() -> None:
    """RabbitMQ would end the connection over them, and with it everything under way."""
    message = Outgoing(
        exchange="e", routing_key="k", body=b"", message_id="1", headers={"x": "y" * FRAME_MAX}
    )
    with pytest.raises(Unsendable, match="a frame holds 4088"):
        publish(message, channel=1, frame_max=FRAME_MAX)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | st.datetimes()
    | st.complex_numbers()
    | st.characters(categories=["Cs"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary() | st.integers(), inner),
    max_leaves=20,
)


@given(
    headers=st.dictionaries(st.text() | st.binary() | st.integers(), ANYTHING),
    texts=st.lists(st.text(max_size=300), min_size=4, max_size=4),
    priority=st.integers(),
)
def test_whatever_a_message_holds_is_written_or_refused(
    headers: dict[Any, Any], texts: list[str], priority: int
) -> None:
    """Written, each frame fits; refused, it is by the one error that says so."""
    exchange, key, message_id, content_type = texts
    message = Outgoing(
        exchange=exchange,
        routing_key=key,
        body=b"{}",
        message_id=message_id,
        priority=priority,
        headers=headers,
        content_type=content_type,
    )
    try:
        octets = publish(message, channel=1, frame_max=FRAME_MAX)
    except Unsendable:
        return
    assert octets == written_by_amqp(message, channel=1)
    kind, _, size = HEAD.unpack_from(octets)
    assert (kind, octets[HEAD.size + size]) == (1, FRAME_END)
    assert HEAD.unpack_from(octets, HEAD.size + size + 1)[2] <= FRAME_MAX - HEAD.size - 1


def test_headers_too_deep_to_write_are_this_messages_fault() -> None:
    """Python's own limit is met before that of any broker."""
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"x": deep}
    message = Outgoing(exchange="e", routing_key="k", body=b"", message_id="1", headers=deep)
    with pytest.raises(Unsendable, match="RecursionError"):
        publish(message, channel=1, frame_max=FRAME_MAX)
