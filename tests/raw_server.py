"""A TCP server whose every byte a test decides: for all that no HTTP library can be made to do."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

LINGER_OFF = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read whole; header names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """One accepted connection, for a behaviour to write to."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self.stopping = stopping
        self._read = b""

    def read(self) -> Request | None:
        """Read one request; None at the end of the connection."""
        while b"\r\n\r\n" not in self._read:
            if not self._receive():
                return None
        head, _end, self._read = self._read.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        pairs = (header.partition(":") for header in lines)
        headers = {name.lower(): value.strip() for name, _colon, value in pairs}
        length = int(headers.get("content-length", "0"))
        while len(self._read) < length:
            if not self._receive():
                return None
        body, self._read = self._read[:length], self._read[length:]
        return Request(line, headers, body)

    def _receive(self) -> bool:
        more = self.sock.recv(65536)
        self._read += more
        return bool(more)

    def send(self, content: bytes) -> None:
        self.sock.sendall(content)

    def drip(self, content: bytes, *, pause: float = 0.02) -> None:
        """Send byte by byte until the client hangs up."""
        for position in range(len(content)):
            self.sock.sendall(content[position : position + 1])
            if self.stopping.wait(pause):
                return

    def hold(self) -> None:
        """Say nothing until the client hangs up or the server stops."""
        self.sock.settimeout(0.05)
        while not self.stopping.is_set():
            try:
                if not self.sock.recv(65536):
                    return
            except TimeoutError:
                continue

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
        self.close()

    def close(self) -> None:
        self.sock.close()


# What a server does with a request; the connection is kept alive unless it was closed.
Behaviour = Callable[[Connection, Request], None]
# What a server does with a connection before it has read anything: True takes it over.
Greeting = Callable[[Connection], bool]


class RawServer:
    """Serves on a loopback port, each connection in a thread; `requests` is what was read."""

    def __init__(self, behaviour: Behaviour, *, greeting: Greeting | None = None) -> None:
        self.behaviour = behaviour
        self.greeting = greeting
        self.requests: list[Request] = []
        self._stopping = threading.Event()
        self._open: list[Connection] = []
        self._threads: list[threading.Thread] = []

    @property
    def connections(self) -> int:
        """How many were accepted."""
        return len(self._open)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            connection = Connection(sock, self._stopping)
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        with suppress(OSError):
            if not (self.greeting and self.greeting(connection)):
                while request := connection.read():
                    self.requests.append(request)
                    self.behaviour(connection, request)
        connection.close()
