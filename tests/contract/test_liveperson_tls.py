"""TLS: nothing is sent to whom cannot show that they are who was meant."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.liveperson.http import FateUnknown, Http, HttpResponse, NotSent
from tests.raw_liveperson import CONNECT_SECONDS, CREATED, READ_SECONDS, http_answer
from tests.raw_server import Connection, RawServer, Request


class TLSServer(RawServer):
    """The same server behind TLS."""

    def __init__(self, certificate: Path, answer: bytes | None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.answer = answer
        super().__init__(self._behave, greeting=self._shake_hands)

    def _shake_hands(self, connection: Connection) -> bool:
        connection.sock = self.context.wrap_socket(connection.sock, server_side=True)
        return False

    def _behave(self, connection: Connection, _request: Request) -> None:
        if self.answer is None:
            connection.reset()
        else:
            connection.send(self.answer)


@pytest.fixture
def trusting(certificate: Path) -> Iterator[Http]:
    """Make calls that trust the test's certificate."""
    context = ssl.create_default_context(cafile=f"{certificate}.crt")
    http = Http(
        pool_size=1,
        connect_timeout=CONNECT_SECONDS * 4,
        read_timeout=READ_SECONDS * 4,
        user_agent="overture/0.0.0",
        context=context,
    )
    yield http
    http.close()


@pytest.fixture
def ordinary() -> Iterator[Http]:
    """Make calls that trust what every process trusts."""
    http = Http(
        pool_size=1,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        user_agent="overture/0.0.0",
    )
    yield http
    http.close()


def call(http: Http, host: str) -> HttpResponse:
    return http.call("POST", f"https://{host}/path?v=3", headers={}, body=b"[]")


def test_a_call_over_tls(certificate: Path, trusting: Http) -> None:
    """A trusted certificate is enough, and the connection is kept."""
    with TLSServer(certificate, http_answer()) as server:
        assert [call(trusting, server.host).body for _ in range(2)] == [CREATED, CREATED]
        assert server.connections == 1


def test_a_large_call_over_tls(certificate: Path, trusting: Http) -> None:
    """More than the connection takes at once, and an answer of more than one TLS record."""
    large = b"[" + b" " * 400_000 + b"]"
    with TLSServer(certificate, http_answer(body=large)) as server:
        answer = trusting.call("POST", f"https://{server.host}/", headers={}, body=large * 10)
    assert (answer.status, answer.body) == (200, large)


def test_an_untrusted_certificate_was_sent_nothing(certificate: Path, ordinary: Http) -> None:
    """The handshake fails before anything is written."""
    with TLSServer(certificate, http_answer()) as server:
        with pytest.raises(NotSent, match="certificate verify failed"):
            call(ordinary, server.host)
        assert server.requests == []


def test_the_wrong_name_was_sent_nothing(certificate: Path, trusting: Http) -> None:
    """A certificate for another host is no certificate."""
    with TLSServer(certificate, http_answer()) as server:
        with pytest.raises(NotSent, match="certificate verify failed"):
            call(trusting, f"localhost:{server.host.rpartition(':')[2]}")
        assert server.requests == []


@pytest.mark.parametrize("greeting", [Connection.close, Connection.reset, Connection.hold])
def test_a_handshake_that_fails_was_sent_nothing(greeting: object, ordinary: Http) -> None:
    """Closed, reset or silent: no request was written yet."""

    def greet(connection: Connection) -> bool:
        assert callable(greeting)
        greeting(connection)
        return True

    with RawServer(lambda *_: None, greeting=greet) as server, pytest.raises(NotSent):
        call(ordinary, server.host)


def test_plain_http_where_tls_is_expected_was_sent_nothing(ordinary: Http) -> None:
    """The first bytes are no handshake."""

    def greet(connection: Connection) -> bool:
        connection.send(http_answer())
        return True

    with RawServer(lambda *_: None, greeting=greet) as server, pytest.raises(NotSent):
        call(ordinary, server.host)


def test_a_tls_connection_lost_under_a_request_leaves_doubt(
    certificate: Path, trusting: Http
) -> None:
    """After the handshake the same holds as without TLS."""
    with TLSServer(certificate, None) as server:
        with pytest.raises(FateUnknown):
            call(trusting, server.host)
        assert len(server.requests) == 1
