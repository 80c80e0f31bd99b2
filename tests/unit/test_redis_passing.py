"""Reading past a large answer of Redis."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from worker.broker.redis.passing import PARSER, pass_over

MIN_BYTES = 1000
Ends = tuple[Any, socket.socket]


@pytest.fixture(params=[2, 3])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """Give redis-py's connection in either version of the protocol, and the server's end of it."""
    ours, theirs = socket.socketpair()
    make: Any = Connection
    connection = make(socket_timeout=5, parser_class=PARSER, protocol=request.param)
    connection._sock = ours
    connection._parser.on_connect(connection)
    with ours, theirs:
        yield connection, theirs


def test_a_large_answer_is_passed_over_and_the_next_one_read(ends: Ends) -> None:
    """However it is cut on its way."""
    connection, theirs = ends
    large = b"$3000000\r\n" + b"\r\n$" * 1_000_000 + b"\r\n"
    sending = threading.Thread(target=theirs.sendall, args=(large,))
    sending.start()
    assert pass_over(connection, least=MIN_BYTES)
    sending.join()
    theirs.sendall(b"$2\r\nab\r\n")
    assert connection.read_response(disable_decoding=True) == b"ab"


@pytest.mark.parametrize("answer", [b"$2\r\nab\r\n", b"", b"-ERR no\r\n", b"*0\r\n"])
def test_any_other_answer_is_left_as_it_is(ends: Ends, answer: bytes) -> None:
    """It is read as ever."""
    connection, theirs = ends
    nothing = b"_\r\n" if connection.protocol == 3 else b"$-1\r\n"
    theirs.sendall((answer or nothing) + b"+OK\r\n")
    assert not pass_over(connection, least=MIN_BYTES)
    try:
        connection.read_response(disable_decoding=True)
    except Exception as error:
        assert str(error) == "no"
    assert connection.read_response(disable_decoding=True) == b"OK"


def test_an_end_in_between_is_an_error(ends: Ends) -> None:
    """As it is for redis-py."""
    connection, theirs = ends
    theirs.sendall(b"$3000000\r\nabc")
    theirs.close()
    with pytest.raises(RedisConnectionError):
        pass_over(connection, least=MIN_BYTES)
