"""Reading properties from the octets of a content header, through the transport's own reader."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from amqp import spec
from amqp.basic_message import Message
from amqp.exceptions import UnexpectedFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.odd_messages import ON_RABBITMQ, headers, text
from tests.raw_amqp import long, nested, properties, short, table
from worker.broker.message import (
    BEGINNING_BYTES,
    MAX_DEPTH,
    MAX_NAMES,
    MAX_VALUES,
    NOTE,
    bound,
    most_body_bytes,
    note_of,
)
from worker.broker.rabbitmq import inbound as amqp_inbound

# Reading is for the event loop: whatever comes, others wait meanwhile. In seconds; much of it is
# for a machine that is busy.
SOON = 2.0
DELIVER = struct.pack(">HH", *spec.Basic.Deliver) + short(b"tag") + struct.pack(">QB", 1, 0)
TO_THE_QUEUE = DELIVER + short(b"exchange") + short(b"key")


class Connection:
    """As much of a connection as the reader needs."""

    bytes_recv = 0


def read(
    octets: bytes, body: bytes = b"", *, size: int | None = None, arguments: bytes = TO_THE_QUEUE
) -> Any:
    """Give the reader a message's frames; returns the message, with the arguments it came with."""
    came: list[Any] = []

    def callback(channel: int, method: tuple[int, int], given: bytes, message: Any) -> None:
        assert (channel, method) == (1, spec.Basic.Deliver)
        came.append((message, given))

    reader = amqp_inbound.frame_handler(Connection(), callback)
    length = len(body) if size is None else size
    done = reader((1, 1, arguments))
    done = reader((2, 1, struct.pack(">HHQ", 60, 0, length) + octets))
    parts: Iterable[bytes] = (body[at : at + 4096] for at in range(0, len(body), 4096))
    for part in parts:
        assert not done
        done = reader((3, 1, part))
    assert done
    ((message, message.given),) = came
    return message


def known(message: Any) -> dict[str, Any]:
    """Return what was read, without the note."""
    return {name: value for name, value in message.properties.items() if name != NOTE}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    TEXT
    | st.binary(max_size=20)
    | st.booleans()
    | st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.decimals(-(2**31) + 1, 2**31 - 1, places=0)
    | st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)).map(  # noqa: DTZ001 - AMQP's have no zone
        lambda at: at.replace(microsecond=0)
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
SHORT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
OCTET = st.integers(0, 255)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": SHORT,
        "content_encoding": SHORT,
        "application_headers": st.dictionaries(
            TEXT.filter(lambda name: name != "compression"), VALUES
        ),
        "delivery_mode": OCTET,
        "priority": OCTET,
        "correlation_id": SHORT,
        "reply_to": SHORT,
        "expiration": SHORT,
        "message_id": SHORT,
        "timestamp": st.integers(0, 2**64 - 1),
        "type": SHORT,
        "user_id": SHORT,
        "app_id": SHORT,
        "cluster_id": SHORT,
    },
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(PROPERTIES)
def test_what_is_in_order_comes_out_as_py_amqp_reads_it(given_properties: dict[str, Any]) -> None:
    """Value by value, and type by type."""
    written: Any = Message("", **given_properties)
    octets = written._serialize_properties()
    theirs: Any = Message()
    theirs._load_properties(60, octets, 0)
    ours = read(octets)
    assert ours.properties == theirs.properties
    assert repr(ours.properties) == repr(theirs.properties)


# Any type of value with any octets behind it, so that most of it is nearly right.
ODD_VALUES: st.SearchStrategy[bytes] = st.deferred(
    lambda: (
        st.builds(
            lambda kind, rest: bytes((kind,)) + rest,
            st.sampled_from(b"SxFAtTDVbBsuUIilLfdZ"),
            st.binary(max_size=12),
        )
        | st.builds(lambda inner: b"A" + long(b"".join(inner)), st.lists(ODD_VALUES, max_size=3))
        | st.builds(lambda fields: b"F" + table(*fields), st.lists(ODD_FIELDS, max_size=3))
        | st.builds(lambda inner: b"S" + long(inner), st.binary(max_size=8))
    )
)
ODD_FIELDS: st.SearchStrategy[tuple[bytes, bytes]] = st.tuples(st.binary(max_size=5), ODD_VALUES)
ODD_TABLES = st.lists(ODD_FIELDS, max_size=6).map(lambda fields: table(*fields))


@settings(max_examples=500, derandomize=True, deadline=None)
@given(
    st.binary(max_size=300)
    | st.builds(
        lambda flags, rest: struct.pack(">H", flags) + rest,
        st.integers(0, 2**16 - 1),
        st.binary(max_size=80),
    )
    | st.builds(
        lambda odd, rest: properties(headers=odd, delivery_mode=b"\x02") + rest,
        ODD_TABLES,
        st.binary(max_size=4),
    )
)
def test_any_octets_are_read(octets: bytes) -> None:
    """Nothing is raised, and what comes out can be used: texts are texts."""
    message = read(octets, b"{}")
    assert message.body == b"{}"
    found = known(message)
    assert all(isinstance(name, str) for name in found.get("application_headers", {}))
    texts = [found.get(name, "") for name in ("content_type", "content_encoding", "message_id")]
    assert "".join(texts).encode() is not None
    assert len(note_of(message.properties).left_out) <= MAX_NAMES + 1


@pytest.mark.parametrize("octets", ON_RABBITMQ.values(), ids=ON_RABBITMQ)
def test_what_is_odd_about_a_message_leaves_the_rest(octets: bytes) -> None:
    """Its other properties are read, and its body."""
    message = read(octets, b"{}")
    assert message.body == b"{}"
    assert message.properties["delivery_mode"] == 2


LATE = b"T" + struct.pack(">Q", 1_764_000_000_000)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (LATE, "header 'odd'"),
        (b"F" + table((b"a", LATE)), "header 'odd'"),
        (b"A" + long(b"Z"), "header 'odd'"),
        (b"A" + long(text(b"x")[:-1]), "header 'odd'"),
        (b"F" + table((b"\xff", b"V")), "header 'odd'"),
        (nested(MAX_DEPTH), "header 'odd'"),
        (nested(2_000), "header 'odd'"),
    ],
)
def test_a_header_that_cannot_be_read_spoils_no_other(value: bytes, said: str) -> None:
    """It is named, and those around it are there."""
    message = read(headers((b"first", text(b"1")), (b"odd", value), (b"last", text(b"2"))))
    assert message.properties["application_headers"] == {"first": "1", "last": "2"}
    assert note_of(message.properties).left_out == (said,)


def test_a_type_that_nobody_knows_ends_the_headers() -> None:
    """Nobody can say how long such a value is; but the table says where it ends itself."""
    octets = headers((b"first", b"V"), (b"odd", b"Z\x01\x02"), (b"last", b"V"))
    message = read(octets)
    assert known(message) == {
        "content_type": "application/json",
        "application_headers": {"first": None},
        "delivery_mode": 2,
    }
    assert note_of(message.properties).left_out == ("header 'odd'", "the headers that follow")


def test_a_name_that_is_no_text_is_left_out() -> None:
    """It could not be written again when a message is put off."""
    message = read(headers((b"caf\xe9\n", b"V"), (b"a", b"V")))
    assert message.properties["application_headers"] == {"a": None}
    assert note_of(message.properties).left_out == (r"header 'caf\\xe9\n'",)


def test_a_value_that_is_no_text_is_bytes() -> None:
    """AMQP's long strings may hold anything."""
    message = read(headers((b"a", text(b"\xff")), (b"b", b"x" + long(b"b"))))
    assert message.properties["application_headers"] == {"a": b"\xff", "b": b"b"}
    assert NOTE not in message.properties


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"compression", text(b"snappy")),
        (b"compression", b"A" + long(b"")),
        (b"compression", b"t\x01"),
    ],
)
def test_a_compression_that_nobody_can_undo_is_left_out(name: bytes, value: bytes) -> None:
    """The body is then read as it came."""
    message = read(headers((name, value)))
    assert message.properties["application_headers"] == {}
    (said,) = note_of(message.properties).left_out
    assert said.startswith("header 'compression'")


def test_properties_that_are_cut_short_leave_those_before() -> None:
    """And flags that no version of AMQP has are passed over."""
    message = read(properties(content_type=short(b"a/b"), message_id=b"\x10abc"))
    assert known(message) == {"content_type": "a/b"}
    assert note_of(message.properties).left_out == ("what follows them",)
    assert known(read(b"\x80\x01\x00\x01\xff\xfe" + short(b"a/b"))) == {"content_type": "a/b"}


@pytest.mark.parametrize(
    "octets",
    [
        headers(*((b"h%d" % number, b"t\x01") for number in range(9_000))),
        headers((b"wide", b"A" + long(b"V" * 120_000))),
        headers(*((b"", b"F" + table()) for _ in range(20_000))),
        headers((b"deep", nested(20_000))),
        headers(*((b"\xff", LATE) for _ in range(10_000))),
    ],
    ids=["many", "wide", "empty", "deep", "odd"],
)
def test_reading_is_bounded(octets: bytes) -> None:
    """As many values as a frame can hold take no time to speak of."""
    started = time.thread_time()
    message = read(octets)
    assert time.thread_time() - started < SOON
    assert len(message.properties["application_headers"]) <= MAX_VALUES
    assert len(note_of(message.properties).left_out) <= MAX_NAMES + 1


def test_numbers_of_every_type_are_read() -> None:
    """RabbitMQ passes all of these on."""
    octets = headers(
        (b"b", b"b\xff"),
        (b"B", b"B\xff"),
        (b"s", b"s\xff\xff"),
        (b"u", b"u\xff\xff"),
        (b"I", b"I\xff\xff\xff\xff"),
        (b"i", b"i\xff\xff\xff\xff"),
        (b"l", b"l" + b"\xff" * 8),
        (b"D", b"D\x02\x00\x00\x00\x7b"),
        (b"T", b"T" + struct.pack(">Q", 1)),
    )
    assert read(octets).properties["application_headers"] == {
        "b": -1,
        "B": 255,
        "s": -1,
        "u": 65535,
        "I": -1,
        "i": 2**32 - 1,
        "l": -1,
        "D": Decimal("1.23"),
        "T": datetime.fromtimestamp(1, UTC).replace(tzinfo=None),
    }


def test_a_routing_key_may_be_any_octets() -> None:
    """A pattern may have brought it here; its readable part is enough to tell the queue."""
    arguments = DELIVER + short(b"\xffexchange") + short(b"\xff.conversations.jobs")
    given_arguments = read(properties(), arguments=arguments).given
    assert given_arguments == DELIVER + short(b"exchange") + short(b".conversations.jobs")


@pytest.fixture
def _bounded() -> Any:
    """Read as a worker does."""
    before = most_body_bytes()
    bound(1024)
    yield
    bound(before)


@pytest.mark.usefixtures("_bounded")
def test_a_body_beyond_the_bound_leaves_its_beginning() -> None:
    """Its size and digest are those of the whole, and no more of it is held."""
    whole = b"\x00\x01\x02\x03" * (most_body_bytes() // 4) + b"end"
    octets = headers((b"compression", text(b"application/x-gzip")), (b"odd", LATE))
    message = read(octets, whole)
    note = note_of(message.properties)
    assert message.body == whole[:BEGINNING_BYTES]
    assert note.cut is not None
    assert (note.cut.size, note.cut.sha256) == (len(whole), sha256(whole).hexdigest())
    assert note.left_out == ("header 'odd'",)
    assert message.properties["application_headers"] == {}


@pytest.mark.usefixtures("_bounded")
def test_a_body_within_the_bound_is_whole() -> None:
    """To the last octet that is allowed."""
    whole = b"\x00\x01\x02\x03" * (most_body_bytes() // 4)
    message = read(properties(), whole)
    assert message.body == whole
    assert note_of(message.properties).cut is None


@pytest.mark.parametrize(
    "frames", [[(2, 1, b"")], [(3, 1, b"")], [(1, 1, TO_THE_QUEUE)] * 2, [(7, 1, b"")]]
)
def test_frames_out_of_order_are_refused(frames: list[tuple[int, int, bytes]]) -> None:
    """That is the broker's doing, and its connection cannot be read on."""

    def callback(*_: object) -> None:
        raise AssertionError

    reader = amqp_inbound.frame_handler(Connection(), callback)
    *before, last = frames
    for frame in before:
        reader(frame)
    with pytest.raises(UnexpectedFrame):
        reader(last)
