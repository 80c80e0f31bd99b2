"""The server of pages: what it answers, and what a client cannot do to it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.redis_server import free_port
from tests.waiting import wait_until
from worker.serving import MAX_REQUESTS, CannotServe, Page, PageServer, unwell, well


def stumble(_: str) -> Page:
    """Fail as a bug would have it."""
    raise ValueError("secret")


@pytest.fixture
def address() -> Iterator[str]:
    """Serve some pages."""
    found = f"127.0.0.1:{free_port()}"
    server = PageServer(
        found,
        {
            "/well": lambda _: well("fine"),
            "/unwell": lambda _: unwell("the loop stands still"),
            "/accept": well,
            "/stumble": stumble,
        },
        named_by="HERE",
    )
    yield found
    server.close()


def ask(address: str, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Make one request."""
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_page_is_found_by_its_path(address: str) -> None:
    """Whatever the query; its maker is told what the client accepts."""
    assert ask(address, "/well") == (200, "fine\n")
    assert ask(address, "/well?now=1") == (200, "fine\n")
    assert ask(address, "/unwell") == (503, "the loop stands still\n")
    assert ask(address, "/accept", Accept="text/plain") == (200, "text/plain\n")
    assert ask(address, "/well", method="HEAD") == (200, "")


def test_what_is_not_there_is_said(address: str) -> None:
    """Another path, and another method."""
    status, words = ask(address, "/metrics")
    assert status == 404
    assert "/well" in words
    assert ask(address, "/well", method="POST")[0] == 501


def test_a_bug_is_an_answer_and_no_secret(address: str) -> None:
    """The next request is served as if nothing had been."""
    status, words = ask(address, "/stumble")
    assert status == 500
    assert "secret" not in words
    assert ask(address, "/well")[0] == 200


def test_clients_that_hold_on_keep_nobody_out(address: str) -> None:
    """The oldest of too many gives way, long before it would be let go for its silence."""
    host, port = address.split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(MAX_REQUESTS + 3)]
    began_at = time.monotonic()
    assert ask(address, "/well")[0] == 200
    assert time.monotonic() - began_at < 2
    idle[0].settimeout(2)
    assert idle[0].recv(1) == b""
    for one in idle:
        one.close()
    wait_until(lambda: ask(address, "/well")[0] == 200, "it is served")


def test_nonsense_ends_nothing(address: str) -> None:
    """Bytes that are no HTTP, and a client that is gone before its answer."""
    host, port = address.split(":")
    for octets in (b"\x16\x03\x01\x00\xff\n\n", b"GET / HTTP/9.9\r\n\r\n", b"x" * 100_000, b""):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(octets)
    assert ask(address, "/well")[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_cannot_be_had_is_one_sentence(host: str, address: str) -> None:
    """A port that is taken, a name that nobody knows, an address of another machine."""
    with pytest.raises(CannotServe, match=r"HERE: nothing can be served at .*; name an address"):
        PageServer(f"{host}:{address.split(':')[1]}", {}, named_by="HERE")
