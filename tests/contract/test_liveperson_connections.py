"""How connections are made, kept and let go: over real sockets, and over TLS."""

import errno
import json
import logging
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from tasks.liveperson import transport
from tasks.liveperson.answer import Kind
from tasks.liveperson.domains import RECHECK_SECONDS
from tasks.liveperson.http import FateUnknown, Http, NotSent
from tasks.liveperson.tokens import Tokens
from tasks.liveperson.wire import Wire
from tests.raw_liveperson import (
    APP_JWT,
    CONNECT_SECONDS,
    CONSUMER_JWS,
    CREATED,
    LivePerson,
    client_of,
    create,
    http_answer,
    job,
    says,
)
from tests.raw_server import Connection, RawServer, Request


def refused_port() -> str:
    """Name a loopback port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_the_request_is_the_documented_one() -> None:
    """Bare tokens, one JSON array, and the client properties as ASCII in their header."""
    liveperson = LivePerson(says(http_answer()))
    properties = {"type": ".ClientProperties", "features": ["AUTO_MESSAGES"], "appId": "Zürich"}
    with RawServer(liveperson) as server, client_of(server) as client:
        create(client, job(clientProperties=properties, conversation={"skillId": "7"}))
        host = server.host
    (request,) = liveperson.creations
    path = "/api/account/12345678/messaging/consumer/conversation?v=3"
    assert request.line == f"POST {path} HTTP/1.1"
    sent = request.headers.pop("client-properties")
    assert sent.isascii()
    assert json.loads(sent) == properties
    assert request.headers == {
        "host": host,
        "user-agent": "overture/0.0.0",
        "accept": "application/json",
        "accept-encoding": "gzip",
        "content-type": "application/json",
        "authorization": APP_JWT,
        "x-lp-on-behalf": CONSUMER_JWS,
        "content-length": str(len(request.body)),
    }
    assert json.loads(request.body)[1]["body"]["skillId"] == "7"


def test_a_large_request_goes_out_whole() -> None:
    """A profile of a hundred kilobytes, in any script, takes one write as well."""
    liveperson = LivePerson(says(http_answer()))
    profile = {"description": "Überraschung 日本 🎉 " * 4000}
    with RawServer(liveperson) as server, client_of(server) as client:
        assert create(client, job(profile=profile)).kind is Kind.CREATED
    assert json.loads(liveperson.creations[0].body)[0]["body"] == profile


def test_each_read_waits_no_longer_than_the_whole_answer_may_take() -> None:
    """What is left of the time bounds the next read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(ours)
        wire.expect(seconds=0.2)
        theirs.sendall(b"x")
        began = time.monotonic()
        assert wire.receive() == b"x"
        with pytest.raises(TimeoutError):
            wire.receive()
        assert 0.2 <= time.monotonic() - began < 5


def test_no_answer_shows_a_token() -> None:
    """Not even where the server gives back what it was sent."""
    tokens = Tokens("c-1", "opaque-app-token", "opaque-consumer-token", None)
    body = b'{"body":{"msg":"refused opaque-app-token and opaque-consumer-token"}}'
    liveperson = LivePerson(says(http_answer("403 Forbidden", body)))
    with RawServer(liveperson) as server, client_of(server) as client:
        answer = client.create(job(), tokens, profile_id="p", conversation_id="c")
    assert answer.message == "HTTP 403: refused [secret] and [secret]"


def test_no_log_holds_a_token(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at the level at which everything is told, by us and by libraries."""
    caplog.set_level(logging.DEBUG)
    liveperson = LivePerson(says(http_answer()), Connection.close)
    with RawServer(liveperson) as server, client_of(server) as client, capture_logs() as lines:
        assert [create(client).kind, create(client).kind] == [Kind.CREATED, Kind.UNKNOWN]
    text = f"{lines}{caplog.text}"
    assert "messaging/consumer/conversation" in text
    assert APP_JWT not in text
    assert CONSUMER_JWS not in text


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_lack_of_open_files_is_ours(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """It was not sent, and says nothing of the server."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    http = Http(pool_size=1, connect_timeout=1, read_timeout=1, user_agent="overture/0.0.0")
    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(NotSent, match="too many open files here; raise the limit") as caught:
        http.call("GET", "http://127.0.0.1:1/", headers={})
    assert caught.value.is_ours


def test_a_refused_connection_was_not_sent() -> None:
    """Nobody listens, so nothing was done."""
    liveperson = LivePerson(host=refused_port())
    with RawServer(liveperson) as server, client_of(server) as client:
        answer = create(client)
    assert answer.kind is Kind.NOT_SENT
    assert "cannot connect to 127.0.0.1: " in answer.message
    assert "refused" in answer.message


@pytest.mark.parametrize("host", ["nosuchhost.invalid", "a..b"])
def test_a_host_without_an_address_was_not_sent(host: str) -> None:
    """The name cannot be resolved, or cannot be a name at all."""
    liveperson = LivePerson(host=host)
    with RawServer(liveperson) as server, client_of(server, trusted=(host,)) as client:
        assert create(client).kind is Kind.NOT_SENT


def test_a_host_outside_is_sent_nothing() -> None:
    """The refusal names the setting that would allow it."""
    liveperson = LivePerson(host="evil.example")
    with RawServer(liveperson) as server, client_of(server) as client:
        answer = create(client)
    assert answer.kind is Kind.NOT_SENT
    assert "OVERTURE_TRUSTED_HOSTS" in answer.message


def test_a_domain_api_in_trouble_was_sent_nothing_else() -> None:
    """What it said of the time to come back is kept."""

    def broken(connection: Connection, request: Request) -> None:
        del request
        connection.send(http_answer("503 Service Unavailable", b"", "Retry-After: 9"))

    with RawServer(broken) as server, client_of(server) as client:
        answer = create(client)
    assert (answer.kind, answer.http_status, answer.retry_after) == (Kind.NOT_SENT, 503, 9.0)


NOT_FOUND = http_answer("404 Not Found", b'{"code":404,"body":{"title":"Not Found"}}')


@pytest.mark.parametrize(("moves", "kind"), [(True, Kind.NOT_SENT), (False, Kind.NOT_SERVED)])
def test_a_404_is_final_only_where_the_service_still_lives(*, moves: bool, kind: Kind) -> None:
    """The Domain API is asked once more, and the next attempt goes where it says."""
    old, new = LivePerson(says(NOT_FOUND)), LivePerson(says(http_answer()))
    with RawServer(old) as server, RawServer(new) as elsewhere, client_of(server) as client:
        client.domains.base_url("asyncMessagingEnt")
        client.domains._clock = lambda: time.monotonic() + RECHECK_SECONDS
        old.host = elsewhere.host if moves else None
        answer = create(client)
        assert (answer.kind, answer.http_status) == (kind, 404)
        if moves:
            assert create(client).kind is Kind.CREATED
    assert len(old.creations) == 1


def test_a_connection_that_is_not_taken_up_was_not_sent() -> None:
    """A full backlog answers no SYN: the connect timeout ends the wait."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = full.getsockname()
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(address)
        server = stack.enter_context(RawServer(LivePerson(host=f"{address[0]}:{address[1]}")))
        client = stack.enter_context(client_of(server))
        began = time.monotonic()
        answer = create(client)
        assert CONNECT_SECONDS <= time.monotonic() - began < CONNECT_SECONDS + 5
    assert answer.kind is Kind.NOT_SENT
    assert "timed out" in answer.message


def test_a_server_that_reads_nothing_is_given_up_when_the_writing_has_had_its_time() -> None:
    """The permit of a request counts on it: connect, write and answer take no longer together."""

    def deaf(connection: Connection) -> bool:
        return connection.stopping.wait(30)

    with RawServer(LivePerson(), greeting=deaf) as server:
        http = Http(pool_size=1, connect_timeout=0.2, read_timeout=20, user_agent="overture/0.0.0")
        began = time.monotonic()
        with pytest.raises(FateUnknown):
            http.call("POST", f"http://{server.host}/", headers={}, body=b"x" * 64 * 1024 * 1024)
        assert time.monotonic() - began < 10
        http.close()


def test_a_kept_connection_that_dies_under_a_request_leaves_doubt() -> None:
    """The server may have read it before it hung up, so it is not sent again."""
    liveperson = LivePerson(says(http_answer()), Connection.close)
    with RawServer(liveperson) as server, client_of(server) as client:
        assert [create(client).kind, create(client).kind] == [Kind.CREATED, Kind.UNKNOWN]
        # The one connection carried the look-up and both requests.
        assert server.connections == 1
    assert len(liveperson.creations) == 2


def test_a_kept_connection_that_was_closed_meanwhile_is_not_used() -> None:
    """The end of the connection is seen before the next request is written."""
    closed = threading.Event()

    def created_then_closes(connection: Connection) -> None:
        connection.send(http_answer())
        connection.close()
        closed.set()

    liveperson = LivePerson(created_then_closes, says(http_answer()))
    with RawServer(liveperson) as server, client_of(server) as client:
        first = create(client).kind
        assert closed.wait(10)
        assert [first, create(client).kind] == [Kind.CREATED, Kind.CREATED]
        assert server.connections == 2


def test_an_idle_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may just be closing it, which would leave doubt for nothing."""
    monkeypatch.setattr(transport, "IDLE_SECONDS", 0.0)
    liveperson = LivePerson(says(http_answer()), says(http_answer()))
    with RawServer(liveperson) as server, client_of(server) as client:
        assert [create(client).kind, create(client).kind] == [Kind.CREATED, Kind.CREATED]
        assert server.connections == 3


def test_an_answer_that_was_given_up_does_not_reach_the_next_request() -> None:
    """A late answer arrives on a connection that is closed, never at another job's request."""
    liveperson = LivePerson(Connection.hold, says(http_answer()))
    with RawServer(liveperson) as server, client_of(server) as client:
        assert [create(client).kind, create(client).kind] == [Kind.UNKNOWN, Kind.CREATED]
        assert server.connections == 2


def test_more_than_was_promised_spoils_the_connection_not_the_next_answer() -> None:
    """Bytes behind an answer are thrown away together with their connection."""
    liveperson = LivePerson(says(http_answer() + http_answer("500 Oops")), says(http_answer()))
    with RawServer(liveperson) as server, client_of(server) as client:
        assert [create(client).kind, create(client).kind] == [Kind.CREATED, Kind.CREATED]


def test_neither_cookies_nor_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What lies around on the machine or in an answer changes no request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password netrc-password\n")
    monkeypatch.setenv("NETRC", str(netrc))
    cookie = "Set-Cookie: session=abc; Path=/"
    liveperson = LivePerson(says(http_answer("200 OK", CREATED, cookie)), says(http_answer()))
    with RawServer(liveperson) as server, client_of(server) as client:
        assert [create(client).kind, create(client).kind] == [Kind.CREATED, Kind.CREATED]
    assert all("cookie" not in request.headers for request in liveperson.creations)
    assert {request.headers["authorization"] for request in liveperson.creations} == {APP_JWT}


def test_thirty_two_threads_share_one_client() -> None:
    """Connections are neither mixed up nor multiplied."""
    threads, rounds = 32, 5
    liveperson = LivePerson(*[says(http_answer())] * (threads * rounds))
    with RawServer(liveperson) as server, client_of(server) as client:
        with ThreadPoolExecutor(threads) as pool:
            kinds = list(pool.map(lambda _: create(client).kind, range(threads * rounds)))
        assert server.connections <= threads + 1
    assert kinds == [Kind.CREATED] * threads * rounds


def test_whatever_hangs_on_requests_sees_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """As instrumentation does that wraps `requests.Session.send`, and gets what it returns."""
    seen: list[tuple[str | None, str | None, int, str]] = []
    send = requests.Session.send

    def wrapped(
        self: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        answer = send(self, request, **options)
        seen.append((request.method, request.url, answer.status_code, answer.url))
        return answer

    monkeypatch.setattr(requests.Session, "send", wrapped)
    with RawServer(LivePerson(says(http_answer()))) as server, client_of(server) as client:
        assert create(client).kind is Kind.CREATED
        origin = f"http://{server.host}"
    look_up, creation = seen
    assert look_up[:3] == ("GET", look_up[3], 200)
    url = f"{origin}/api/account/12345678/messaging/consumer/conversation?v=3"
    assert creation == ("POST", url, 200, url)


@pytest.mark.parametrize("location", ["/elsewhere", "ftp://elsewhere/", "http://[", ""])
def test_a_redirect_is_an_answer_like_any_other(location: str) -> None:
    """It leads nowhere, and its body is there, however its address is written; no cookie stays."""
    answer = (
        f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nSet-Cookie: a=b\r\n"
        "Content-Length: 4\r\n\r\nbody"
    )
    requested: list[Request] = []

    def found(connection: Connection, request: Request) -> None:
        requested.append(request)
        connection.send(answer.encode())

    with RawServer(found) as server:
        http = Http(pool_size=1, connect_timeout=1, read_timeout=5, user_agent="test")
        answers = [http.call("GET", f"http://{server.host}/x", headers={}) for _ in range(2)]
        http.close()
    assert [(one.status, one.body) for one in answers] == [(302, b"body")] * 2
    assert not any("cookie" in request.headers for request in requested)
    assert len(requested) == 2
