"""The proxy: each of its faults looks to a client as it would in a network."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import HOST, Proxy
from tests.waiting import wait_until


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself."""

    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.wfile.write(line)
        except OSError:
            pass


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Give a proxy in front of an echo server."""
    with EchoServer((HOST, 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Proxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def ask(client: socket.socket, text: bytes = b"hello\n") -> bytes:
    client.sendall(text)
    return client.recv(100)


def test_it_carries_both_ways(proxy: Proxy) -> None:
    """A good network changes nothing."""
    with connect(proxy) as client:
        assert ask(client) == b"hello\n"


def test_a_reset_ends_connections_and_lets_new_ones_in(proxy: Proxy) -> None:
    """A client sees a reset, and connects again."""
    with connect(proxy) as client:
        ask(client)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with connect(proxy) as client:
        assert ask(client) == b"hello\n"


def test_a_cut_refuses_connections_until_it_is_restored(proxy: Proxy) -> None:
    """The port is there again after the cut."""
    proxy.cut()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.restore()
    with connect(proxy) as client:
        assert ask(client) == b"hello\n"


def test_a_blackhole_is_silent_and_holds_bytes_back(proxy: Proxy) -> None:
    """Nothing comes while it lasts; afterwards all of it does."""
    with connect(proxy) as client:
        ask(client)
        proxy.blackhole()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(client, b"late\n")
        proxy.restore()
        client.settimeout(5)
        assert client.recv(100) == b"late\n"


def test_a_half_open_connection_stays_silent(proxy: Proxy) -> None:
    """The client is not told that the server is gone; a new connection works."""
    with connect(proxy) as client:
        ask(client)
        proxy.half_open()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(client)
        with connect(proxy) as other:
            assert ask(other) == b"hello\n"
        with pytest.raises(TimeoutError):
            client.recv(100)


def test_a_delay_slows_every_byte(proxy: Proxy) -> None:
    """The way there and back takes twice the delay."""
    with connect(proxy) as client:
        proxy.delay(0.1)
        started = time.monotonic()
        assert ask(client) == b"hello\n"
        assert time.monotonic() - started >= 0.2


def test_ended_connections_are_forgotten(proxy: Proxy) -> None:
    """A client that goes away takes its connection with it."""
    with connect(proxy) as client:
        ask(client)
        assert proxy.connections == 1
    wait_until(lambda: proxy.connections == 0, "the connection is forgotten")


def test_it_leaves_no_connection_open(proxy: Proxy) -> None:
    """Not even one that comes while it ends; an open one would fail whatever test runs next."""
    for _ in range(20):
        clients = [socket.socket() for _ in range(20)]
        with Proxy(proxy.port) as ending:
            for client in clients:
                client.settimeout(0)
                client.connect_ex((HOST, ending.port))
        for client in clients:
            client.settimeout(5)
            with client, suppress(OSError):
                assert client.recv(1) == b""
