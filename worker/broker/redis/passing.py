"""Reading past an answer of Redis that nobody wants, without holding it."""

from __future__ import annotations

from typing import Any, Final

from redis._parsers.socket import SocketBuffer
from redis.exceptions import ConnectionError as RedisConnectionError

CHUNK_BYTES: Final = 256 * 1024
_BULK: Final = b"$"
_LINE_END: Final = b"\r\n"


def pass_over(connection: Any, *, least: int) -> bool:
    """Pass over the next answer if it is one string of so many bytes or more; True if it was.

    Otherwise nothing has happened. Raises what the connection raises.
    """
    # redis-py offers no such thing; its other parser, in C, is left to itself.
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
    # Nothing comes behind it: one command is under way at a time.
    buffer.rewind(start + len(head) + len(_LINE_END) + buffer.unread_bytes())
    buffer.purge()
    return True
