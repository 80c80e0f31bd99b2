"""Every way a call can end, over real sockets: what was certainly not done, and what may have been.

The server does what no library can be made to do; each end has one Kind.
"""

import gzip
import time

import pytest

from tasks.liveperson.answer import Kind
from tasks.liveperson.response_reader import MAX_BODY_BYTES
from tests.raw_liveperson import (
    APP_JWT,
    CONSUMER_JWS,
    CREATED,
    READ_SECONDS,
    LivePerson,
    chunked,
    client_of,
    create,
    http_answer,
    says,
)
from tests.raw_server import Connection, RawServer

# A call may take its bounds, and what a busy machine adds.
MAX_WAIT_SECONDS = 5.0


def drips_the_head(connection: Connection) -> None:
    connection.drip(http_answer())


def drips_the_body(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    connection.drip(b"x" * 5000)


def drips_chunks(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.drip(b"1\r\nx\r\n" * 1000)


def drips_continues(connection: Connection) -> None:
    connection.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 500, pause=0.002)


def floods(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while not connection.stopping.is_set():
        connection.send(b"x" * 65536)


def floods_the_head(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\n")
    while not connection.stopping.is_set():
        connection.send(b"X-Header: " + b"x" * 1000 + b"\r\n")


CUT_OFF = http_answer()[:-20]
BOMB = gzip.compress(b"0" * (MAX_BODY_BYTES * 20))

ENDS = {
    # Answers that can be read.
    "created": (says(http_answer()), Kind.CREATED),
    "created, and the connection closed": (says(http_answer(), then_close=True), Kind.CREATED),
    "created, to be closed": (
        says(http_answer("200 OK", CREATED, "Connection: close"), then_close=True),
        Kind.CREATED,
    ),
    "created, in chunks": (says(chunked(CREATED[:50], CREATED[50:])), Kind.CREATED),
    "created, without a length": (
        says(b"HTTP/1.0 200 OK\r\n\r\n" + CREATED, then_close=True),
        Kind.CREATED,
    ),
    "created, after 100 Continue": (
        says(b"HTTP/1.1 100 Continue\r\n\r\n" + http_answer()),
        Kind.CREATED,
    ),
    "created, compressed": (
        says(http_answer("200 OK", gzip.compress(CREATED), "Content-Encoding: gzip")),
        Kind.CREATED,
    ),
    "created, with a byte order mark": (
        says(http_answer(body=b"\xef\xbb\xbf" + CREATED)),
        Kind.CREATED,
    ),
    "redirected": (
        says(http_answer("302 Found", b"", "Location: http://127.0.0.1:1/elsewhere")),
        Kind.NOT_SENT,
    ),
    "redirected, to be repeated": (
        says(http_answer("307 Temporary Redirect", b"", "Location: /elsewhere")),
        Kind.NOT_SENT,
    ),
    "misdirected": (says(http_answer("421 Misdirected Request", b"")), Kind.NOT_SENT),
    "throttled": (says(http_answer("429 Too Many Requests", b"")), Kind.THROTTLED),
    "unauthorized": (says(http_answer("401 Unauthorized", b"")), Kind.UNAUTHORIZED),
    "forbidden": (says(http_answer("403 Forbidden", b"<html>")), Kind.NOT_SENT),
    "not found": (says(http_answer("404 Not Found", b"")), Kind.NOT_SENT),
    "unavailable": (says(http_answer("503 Service Unavailable", b"")), Kind.UNKNOWN),
    "gateway timeout": (says(http_answer("504 Gateway Timeout", b"")), Kind.UNKNOWN),
    # Answers that cannot.
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), Kind.UNKNOWN),
    "empty": (says(http_answer(body=b"")), Kind.UNKNOWN),
    "html": (says(http_answer(body=b"<html>Sign in</html>")), Kind.UNKNOWN),
    "cut off within its length": (says(CUT_OFF, then_close=True), Kind.UNKNOWN),
    "cut off without a length": (
        says(b"HTTP/1.1 200 OK\r\n\r\n" + CREATED[:-20], then_close=True),
        Kind.UNKNOWN,
    ),
    "cut off between chunks": (says(chunked(CREATED, end=b""), then_close=True), Kind.UNKNOWN),
    "cut off within a chunk": (
        says(chunked(CREATED[:50], end=b"40\r\nabc"), then_close=True),
        Kind.UNKNOWN,
    ),
    "bad chunk": (says(chunked(CREATED, end=b"zz\r\n")), Kind.UNKNOWN),
    "cut off in the head": (says(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=True), Kind.UNKNOWN),
    "not HTTP": (says(b"SSH-2.0-OpenSSH_9.6\r\n", then_close=True), Kind.UNKNOWN),
    "binary": (says(bytes(range(256)) * 4, then_close=True), Kind.UNKNOWN),
    "bad status": (says(b"HTTP/1.1 OK 200\r\n\r\n", then_close=True), Kind.UNKNOWN),
    "bad length": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n" + CREATED, then_close=True),
        Kind.UNKNOWN,
    ),
    "two lengths": (
        says(http_answer("200 OK", CREATED, "Content-Length: 5"), then_close=True),
        Kind.UNKNOWN,
    ),
    "a length and chunks": (
        says(http_answer("200 OK", CREATED, "Transfer-Encoding: chunked"), then_close=True),
        Kind.UNKNOWN,
    ),
    "not gzip": (says(http_answer("200 OK", CREATED, "Content-Encoding: gzip")), Kind.UNKNOWN),
    "gzip bomb": (says(http_answer("200 OK", BOMB, "Content-Encoding: gzip")), Kind.UNKNOWN),
    "larger than allowed": (says(http_answer(body=b"x" * (MAX_BODY_BYTES + 1))), Kind.UNKNOWN),
    "endless": (floods, Kind.UNKNOWN),
    "endless head": (floods_the_head, Kind.UNKNOWN),
    # No answer.
    "closed": (Connection.close, Kind.UNKNOWN),
    "reset": (Connection.reset, Kind.UNKNOWN),
    "silent": (Connection.hold, Kind.UNKNOWN),
    "drips the head": (drips_the_head, Kind.UNKNOWN),
    "drips the body": (drips_the_body, Kind.UNKNOWN),
    "drips chunks": (drips_chunks, Kind.UNKNOWN),
    "drips 100 Continue": (drips_continues, Kind.UNKNOWN),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_has_its_kind(end: str) -> None:
    """One request goes out, none is repeated, and the call is over within its bounds."""
    behaviour, kind = ENDS[end]
    liveperson = LivePerson(behaviour)
    with RawServer(liveperson) as server, client_of(server) as client:
        began = time.monotonic()
        answer = create(client)
        assert time.monotonic() - began < READ_SECONDS + MAX_WAIT_SECONDS
    assert answer.kind == kind, answer
    assert len(liveperson.creations) == 1
    if end == "silent" or end.startswith("drips"):
        assert answer.message == f"no complete answer within {READ_SECONDS} s"
    for secret in (APP_JWT, CONSUMER_JWS, "s3cr3t"):
        assert secret not in repr(answer)
