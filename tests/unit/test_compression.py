"""Compressed messages are unpacked within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu import compression
from kombu.message import Message

from worker.broker.compression import METHODS, bound

MAX_BYTES = 1000
EACH = pytest.mark.parametrize(
    ("name", "pack"), [(name, pack) for name, (pack, _) in METHODS.items()]
)
Pack = Callable[[bytes], bytes]


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Bound kombu's decoders, and give it its own back."""
    own = {name: compression.get_decoder(name) for name in METHODS}
    bound(MAX_BYTES)
    yield
    for name, (pack, _) in METHODS.items():
        compression.register(pack, own[name], name)


def received(packed: Any, name: str) -> Any:
    """Give a message as kombu makes it of what it received."""
    return Message(body=packed, headers={"compression": name}, content_type="application/json")


@EACH
def test_a_message_within_bounds_is_unpacked(name: str, pack: Pack) -> None:
    """The largest message that is allowed is read as it was packed."""
    body = b"a" * MAX_BYTES
    message = received(pack(body), name)
    assert (message.body, message.errors) == (body, [])


@EACH
def test_a_bomb_stays_packed(name: str, pack: Pack) -> None:
    """A message that would be too large is an error, and is kept as it was received."""
    packed = pack(b"a" * (MAX_BYTES + 1))
    message = received(packed, name)
    assert message.body == packed
    assert [str(said[1]) for said in message.errors] == ["unpacked it has more than 1000 bytes"]


@EACH
def test_a_message_that_is_cut_short_stays_packed(name: str, pack: Pack) -> None:
    """Half of a message is no message."""
    packed = pack(b"some text")[:-3]
    message = received(packed, name)
    assert message.body == packed
    assert message.errors
