"""The AMQP transport: frames come out as they went in, however the network cuts them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from amqp.exceptions import UnexpectedFrame
from amqp.transport import SSLTransport
from kombu import Connection as KombuConnection

from worker.broker.rabbitmq import transport as amqp_transport
from worker.broker.rabbitmq.frames import FRAME_END, HEAD
from worker.broker.rabbitmq.transport import (
    CHUNK_BYTES,
    BufferedTLSTransport,
    BufferedTransport,
    Connection,
    own_url,
)

FRAMES = [(1, 1, b"deliver"), (2, 1, b""), (3, 1, b"x" * 5000), (8, 0, b""), (1, 65535, b"\xce")]


def wire(frames: list[tuple[int, int, bytes]]) -> bytes:
    return b"".join(
        HEAD.pack(kind, channel, len(payload)) + payload + bytes([FRAME_END])
        for kind, channel, payload in frames
    )


@contextmanager
def connected() -> Iterator[tuple[BufferedTransport, socket.socket]]:
    """Give a transport and the socket at its other end."""
    ours, theirs = socket.socketpair()
    transport: Any = BufferedTransport("broker.example", connect_timeout=1)
    transport.sock, transport.connected = ours, True
    transport._setup_transport()
    with ours, theirs:
        yield transport, theirs


@pytest.mark.parametrize("seed", range(20))
def test_frames_survive_every_cut(seed: int) -> None:
    """Read in pieces of any size, they come out whole and in order."""
    random = Random(seed)
    data, found = wire(FRAMES), []
    with connected() as (transport, theirs):
        while data:
            size = random.choice([1, 3, 7, 100, len(data)])
            theirs.sendall(data[:size])
            data = data[size:]
            transport.fill_at_once()
            while (frame := transport.whole_frame()) is not None:
                found.append(frame)
        with pytest.raises(TimeoutError):
            transport.fill_at_once()
    assert found == FRAMES


def test_who_waits_for_one_frame_reads_no_further() -> None:
    """What is behind it stays in the socket, where the event loop sees it."""
    with connected() as (transport, theirs):
        theirs.sendall(wire(FRAMES))
        assert transport.read_frame() == FRAMES[0]
        assert transport.whole_frame() is None
        assert transport.sock.recv(CHUNK_BYTES) == wire(FRAMES[1:])


def test_a_frame_that_was_read_in_part_is_not_lost_to_a_timeout() -> None:
    """py-amqp tries again after one."""
    with connected() as (transport, theirs):
        transport.sock.settimeout(0.01)
        for part in (wire(FRAMES)[:3], wire(FRAMES)[3:9]):
            theirs.sendall(part)
            with pytest.raises(TimeoutError):
                transport.read_frame()
        theirs.sendall(wire(FRAMES)[9:])
        assert [transport.read_frame() for _ in FRAMES] == FRAMES


def test_a_wait_ends_when_something_comes_or_its_time_is_over() -> None:
    """And reads nothing itself."""
    with connected() as (transport, theirs):
        with pytest.raises(TimeoutError):
            transport.wait(0.01)
        theirs.sendall(wire(FRAMES))
        transport.wait(60)
        transport.fill_at_once()
        assert transport.whole_frame() == FRAMES[0]


def test_the_end_of_the_connection_is_an_error() -> None:
    """And the connection knows that it is none any more."""
    with connected() as (transport, theirs):
        theirs.close()
        with pytest.raises(OSError, match="closed the connection"):
            transport.read_frame()
        assert not transport.connected


def test_what_is_no_frame_is_refused() -> None:
    """A stream out of step is never read on."""
    with connected() as (transport, theirs):
        theirs.sendall(HEAD.pack(1, 1, 2) + b"abc")
        with pytest.raises(UnexpectedFrame):
            transport.read_frame()


def test_many_writes_leave_as_one() -> None:
    """In order, in bounded pieces, and at once again afterwards."""
    with connected() as (transport, theirs):
        with transport.corked():
            transport.write(b"a")
            transport.write(memoryview(bytearray(b"b")))
            theirs.settimeout(0)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
            theirs.settimeout(5)
            transport.write(b"c" * CHUNK_BYTES)
            assert theirs.recv(3) == b"abc"
        transport.write(b"d")
        rest = b""
        while not rest.endswith(b"d"):
            rest += theirs.recv(CHUNK_BYTES)
        assert rest == b"c" * (CHUNK_BYTES - 1) + b"d"


def test_what_was_to_be_written_is_dropped_with_an_error() -> None:
    """Half of a batch would be half of a frame."""

    def publish(transport: BufferedTransport) -> None:
        with transport.corked():
            transport.write(b"half")
            raise OSError("broken off")

    with connected() as (transport, theirs):
        with pytest.raises(OSError, match="broken off"):
            publish(transport)
        transport.write(b"next")
        assert theirs.recv(100) == b"next"


def test_only_rabbitmq_goes_through_it() -> None:
    """Alternatives one by one."""
    assert own_url("amqp://a//;amqps://b//;redis://c/0") == (
        "overture-amqp://a//;overture-amqps://b//;redis://c/0"
    )


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [("amqp", amqp_transport.Transport), ("amqps", amqp_transport.TLSTransport)],
)
def test_kombu_knows_the_schemes(scheme: str, kind: type[object]) -> None:
    """TLS is asked for by the scheme, as in kombu's own."""
    amqp_transport.register()
    with KombuConnection(own_url(f"{scheme}://broker.example//")) as connection:
        assert type(connection.transport) is kind
        assert bool(connection.ssl) == (scheme == "amqps")
        assert connection.transport.driver_type == "amqp"


def test_tls_keeps_its_certificate_checks() -> None:
    """The transport over TLS is py-amqp's own behind the buffer."""
    assert issubclass(BufferedTLSTransport, SSLTransport)
    made = Connection("broker.example").Transport("b:5671", 1, {"ca_certs": "x"}, 10, 10)
    assert isinstance(made, BufferedTLSTransport)
    assert made.sslopts == {"ca_certs": "x"}
