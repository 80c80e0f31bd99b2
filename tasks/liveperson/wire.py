"""A connected socket with deadlines, and few system calls.

At each system call another thread may take the interpreter, and waiting to get it back costs more
than the call. A Python socket with a timeout makes two calls for every read and write, and another
whenever the timeout changes.
"""

import math
import select
import socket
import time
from ssl import SSLWantReadError, SSLWantWriteError

READ_BYTES = 8 * 1024


class Wire:
    """A connected socket, plain or TLS; for one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._sock = sock
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._until = 0.0
        self._is_asked = False

    def is_silent(self) -> bool:
        """Tell whether nothing is readable, not even the end of the connection."""
        return not self._readable.poll(0)

    def send_all(self, data: bytes, *, seconds: float) -> None:
        """Send bytes, nearly always in one write; raises TimeoutError, OSError."""
        self._until = time.monotonic() + seconds
        left = memoryview(data)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except (BlockingIOError, SSLWantWriteError):
                self._wait(select.POLLOUT)
            except SSLWantReadError:
                self._wait(select.POLLIN)

    def expect(self, *, seconds: float) -> None:
        """Set the deadline of the answer: `seconds` from now, for all its reads together."""
        self._until = time.monotonic() + seconds
        self._is_asked = True

    def receive(self) -> bytes:
        """Read some bytes, none at the end; raises TimeoutError at the deadline, OSError."""
        if self._is_asked:
            # The first bytes of an answer have never come yet; later ones may be in TLS's buffer.
            self._is_asked = False
            self._wait(select.POLLIN)
        while True:
            try:
                return self._sock.recv(READ_BYTES)
            except (BlockingIOError, SSLWantReadError):
                self._wait(select.POLLIN)
            except SSLWantWriteError:
                self._wait(select.POLLOUT)

    def _wait(self, event: int) -> None:
        left = self._until - time.monotonic()
        ready = self._readable
        if event != select.POLLIN:
            ready = select.poll()
            ready.register(self._sock, event)
        if left <= 0 or not ready.poll(math.ceil(left * 1000)):
            raise TimeoutError("the server was too slow")
