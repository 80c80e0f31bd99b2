"""Messages to publish are, to the octet, what py-amqp would write of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from amqp import Message
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from amqp.spec import Basic

from worker.messages.outgoing import Outgoing
from worker.messaging.amqp_frames import publish

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
    with pytest.raises(ValueError, match="256"):
        publish(message, channel=1, frame_max=FRAME_MAX)
