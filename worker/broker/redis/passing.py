"""Skipping a large answer of Redis without keeping it in memory."""

from __future__ import annotations

from typing import Any, Final

from redis._parsers import _RESP2Parser
from redis._parsers.socket import SocketBuffer
from redis.exceptions import ConnectionError as RedisConnectionError

# The parser of a connection whose answers can be passed over; redis-py exchanges it for its sister
# where RESP3 is spoken. hiredis, which redis-py would take by itself, cannot skip an answer.
PARSER: Final = _RESP2Parser
CHUNK_BYTES: Final = 256 * 1024
_BULK: Final = b"$"
_LINE_END: Final = b"\r\n"


def pass_over(connection: Any, *, least: int) -> bool:
    """Skip the next answer if it is a string of at least `least` bytes; True if it was.

    If not, nothing was read. Raises the connection's own errors.
    """
    # redis-py itself cannot do this.
    buffer: Any = getattr(getattr(connection, "_parser", None), "_buffer", None)
    if not isinstance(buffer, SocketBuffer):
        return False
    start = buffer.get_pos()
    head = buffer.readline()
    if head[:1] != _BULK or int(head[1:]) < least:
        buffer.rewind(start)
        return False
    missing = int(head[1:]) + len(_LINE_END) - buffer.unread_bytes()
    socket: Any = connection._sock  # noqa: SLF001 - likewise
    while missing > 0:
        data = socket.recv(min(missing, CHUNK_BYTES))
        if not data:
            raise RedisConnectionError("the server closed the connection")
        missing -= len(data)
    # No other answer follows: one command is pending at a time.
    buffer.rewind(start + len(head) + len(_LINE_END) + buffer.unread_bytes())
    buffer.purge()
    return True
