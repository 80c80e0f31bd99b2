"""Connections for `http.Http`, which know whether a request can have reached the server.

urllib3 connects, with TLS and certificates. The exchange is done here, in a fraction of the time:

- A request is written at once, so that a failure before this write means that it was not sent.
- An answer has one deadline, so that a server that sends byte by byte gets no extra time.
- A connection that was idle for long is not used again: the server may just be closing it.
"""

import errno
import io
import ssl
import time
from collections import deque
from functools import cache
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from tasks.liveperson.environment import Proxy, UnusableEnvironment, proxy_for, trusting
from tasks.liveperson.response_reader import ResponseReader
from tasks.liveperson.wire import Wire

# Common servers close an idle connection after 5 seconds at the earliest (Apache, Node).
IDLE_SECONDS = 4.0


_TLS_PORT = 443
# What every response starts from; its empty jar for cookies is shared, since a new one takes longer
# than all else in a response.
_BLANK = Response()
_PROXY_REFUSES = 407
# The process, or the machine, has no file descriptor left.
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})


class BeforeSending(Exception):
    """The request failed before its first byte was written; the message has no part of it.

    `is_ours` means that the cause is here, and not the server.
    """

    def __init__(self, message: str, *, is_ours: bool = False) -> None:
        super().__init__(message)
        self.is_ours = is_ours


def innermost(error: BaseException) -> BaseException:
    """Return the error at the socket, without urllib3's wrappers."""
    wrapped = next((part for part in error.args if isinstance(part, BaseException)), None)
    inner = wrapped or error.__cause__
    return innermost(inner) if inner else error


class Connection:
    """One kept-alive connection to an origin, `https://host` or `http://host`."""

    def __init__(
        self, origin: str, *, context: ssl.SSLContext, timeout: tuple[float, float]
    ) -> None:
        """Connect; `timeout` are the seconds for that and for writing, and for each answer.

        Raises BeforeSending for every failure.
        """
        scheme, _, self._host = origin.partition("://")
        name, port = _host_and_port(self._host)
        self._write_seconds, self._read_seconds = timeout
        proxy = _proxy_for(origin)
        is_tls = scheme == "https"
        # TLS goes through a tunnel; without TLS the proxy reads the request, and needs a full URL.
        self._proxy = None if is_tls else proxy
        self._target = "" if self._proxy is None else origin
        at, at_port = (name, port) if proxy is None else (proxy.host, proxy.port)
        self._connection = (
            HTTPSConnection(at, at_port, timeout=self._write_seconds, ssl_context=context)
            if is_tls
            else HTTPConnection(at, at_port, timeout=self._write_seconds)
        )
        if is_tls and proxy is not None:
            self._connection.set_tunnel(name, port or _TLS_PORT, headers=proxy.headers)
        try:
            self._connection.connect()
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing was sent
            where = name if proxy is None else f"{name} through the proxy {proxy}"
            failure = _cannot_connect(where, innermost(error))
        else:
            self._wire = Wire(self._connection.sock)
            self._used_at = time.monotonic()
            return
        self._connection.close()
        raise failure

    def is_usable(self) -> bool:
        """Tell whether it can take another request: it was used lately, and is still open."""
        return time.monotonic() - self._used_at < IDLE_SECONDS and self._wire.is_silent()

    def exchange(self, request: PreparedRequest, path: str) -> tuple[Response, bool]:
        """Send a request and read its answer; also tell whether the connection may be kept.

        Raises BeforeSending; after any other error the request may have been received.
        """
        content = self._render(request, path)
        self._wire.send_all(content, seconds=self._write_seconds)
        # Freed while waiting: a thousand calls would keep a thousand requests that were sent.
        del content
        self._wire.expect(seconds=self._read_seconds)
        answer = ResponseReader()
        while not answer.is_complete:
            answer.feed(self._wire.receive())
        self._used_at = time.monotonic()
        if self._proxy is not None and answer.head.status == _PROXY_REFUSES:
            raise BeforeSending(f"the proxy {self._proxy} asks for credentials (HTTP 407)")
        response = Response.__new__(Response)
        vars(response).update(vars(_BLANK), history=[])
        response.request, response.url = request, str(request.url)
        response.status_code = answer.head.status
        response.headers = answer.head.headers  # type: ignore[assignment] # they are only read
        response.raw = io.BytesIO(answer.content())
        return response, answer.may_stay

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _render(self, request: PreparedRequest, path: str) -> bytes:
        headers = request.headers
        lines = [f"{request.method} {self._target}{path} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._proxy is not None:
            lines += [f"{name}: {value}" for name, value in self._proxy.headers.items()]
        head = "\r\n".join(lines)
        if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1:
            raise BeforeSending("cannot write the request: a header contains a line break")
        try:
            return f"{head}\r\n\r\n".encode("latin-1") + bytes(request.body or b"")  # type: ignore[arg-type] # ours are bytes
        except UnicodeEncodeError as error:
            failure = BeforeSending(f"cannot write the request: {type(error).__name__}")
        raise failure


class Adapter(BaseAdapter):
    """A transport adapter for requests: no cookies, redirects or retries.

    `timeout` are the seconds for connecting (TLS included) or writing, and for an answer. Up to
    `pool_size` idle connections to each host are kept.
    """

    def __init__(
        self, *, pool_size: int, timeout: tuple[float, float], context: ssl.SSLContext
    ) -> None:
        super().__init__()
        self._pool_size = pool_size
        self._timeout = timeout
        self._context = context
        self._idle: dict[str, deque[Connection]] = {}

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Make one call; the answer's whole body is in `raw`."""
        origin, path = split(request.url)
        idle = self._idle.setdefault(origin, deque(maxlen=self._pool_size))
        connection = self._take(idle) or Connection(
            origin, context=self._context, timeout=self._timeout
        )
        try:
            response, keep = connection.exchange(request, path)
        except BaseException:
            connection.close()
            raise
        if keep and len(idle) < self._pool_size:
            idle.append(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        """Close the idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _take(self, idle: deque[Connection]) -> Connection | None:
        """Return the most recently used connection that is still usable."""
        while True:
            try:
                connection = idle.pop()
            except IndexError:
                return None
            if connection.is_usable():
                return connection
            connection.close()


@cache
def tls_context() -> ssl.SSLContext:
    """Return the context of all connections of this process. Raises UnusableEnvironment.

    It is cached: loading the certificates takes longer than a whole call.
    """
    return trusting()


def split(url: str | None) -> tuple[str, str]:
    """Split `https://host/path?query` into `https://host` and the rest."""
    whole = url or ""
    end = whole.index("/", len("https://"))
    return whole[:end], whole[end:]


def _proxy_for(origin: str) -> Proxy | None:
    try:
        return proxy_for(origin)
    except UnusableEnvironment as error:
        failure = BeforeSending(str(error), is_ours=True)
    raise failure


def _cannot_connect(name: str, error: BaseException) -> BeforeSending:
    if isinstance(error, OSError) and error.errno in _NO_FILES:
        return BeforeSending(
            f"cannot connect to {name}: too many open files here; raise the limit (ulimit -n)",
            is_ours=True,
        )
    return BeforeSending(f"cannot connect to {name}: {error}")


def _host_and_port(host: str) -> tuple[str, int | None]:
    name, mark, port = host.rpartition(":")
    return (name, int(port)) if mark and port.isdigit() else (host, None)
