"""The AMQP transport over TLS: what TLS holds already is nothing that the system shows."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from worker.broker.rabbitmq.frames import FRAME_END, HEAD
from worker.broker.rabbitmq.transport import BufferedTLSTransport

# One TLS record holds more of these than are read at once.
FRAMES = [(3, 1, bytes([number]) * 1000) for number in range(200)]


@pytest.fixture
def connected(certificate: Path) -> Iterator[tuple[BufferedTLSTransport, ssl.SSLSocket]]:
    """Give a transport and the socket at its other end, both past their handshake."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    trusting.check_hostname = False
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    ours, theirs = socket.socketpair()
    accepted: list[ssl.SSLSocket] = []
    thread = threading.Thread(
        target=lambda: accepted.append(serving.wrap_socket(theirs, server_side=True))
    )
    thread.start()
    transport: Any = BufferedTLSTransport("broker.example", connect_timeout=1)
    transport.sock, transport.connected = trusting.wrap_socket(ours), True
    thread.join()
    with ExitStack() as stack:
        stack.enter_context(transport.sock)
        yield transport, stack.enter_context(accepted[0])


def test_every_frame_comes_however_tls_packs_them(
    connected: tuple[BufferedTLSTransport, ssl.SSLSocket],
) -> None:
    """A wait ends at once for what was decrypted before, and at its time where nothing is left."""
    transport, theirs = connected
    found: list[object] = []
    octets = b"".join(
        HEAD.pack(kind, channel, len(payload)) + payload + bytes([FRAME_END])
        for kind, channel, payload in FRAMES
    )
    sender = threading.Thread(target=theirs.sendall, args=(octets,))
    sender.start()
    while len(found) < len(FRAMES):
        transport.wait(30)
        # As when the event loop finds nothing: the socket goes on waiting as before.
        try:
            transport.fill_at_once()
        except TimeoutError:
            continue
        while (frame := transport.whole_frame()) is not None:
            found.append(frame)
    sender.join()
    assert found == FRAMES
    with pytest.raises(TimeoutError):
        transport.wait(0.01)
    with pytest.raises(TimeoutError):
        transport.fill_at_once()
    assert transport.sock.gettimeout() is None


def test_a_frame_is_waited_for_over_tls(
    connected: tuple[BufferedTLSTransport, ssl.SSLSocket],
) -> None:
    """As py-amqp does while it opens a connection."""
    transport, theirs = connected
    kind, channel, payload = FRAMES[7]
    theirs.sendall(HEAD.pack(kind, channel, len(payload)) + payload + bytes([FRAME_END]))
    assert transport.read_frame() == FRAMES[7]
    transport.write(b"ours")
    assert theirs.recv(10) == b"ours"
