"""A small HTTP server for Prometheus and probes, with its own threads.

It has neither TLS nor authentication: its address decides who can reach it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from config.values import host_and_port

# How many requests are answered at a time. One more closes the oldest connection, so that clients
# that keep theirs open do not lock out others.
MAX_REQUESTS: Final = 16
# A connection on which the client neither sends nor reads for this long is closed.
QUIET_SECONDS: Final = 5.0
# How long to wait before accepting again, after the system had no free file descriptor.
FULL_SECONDS: Final = 1.0
TEXT: Final = "text/plain; charset=utf-8"

log = structlog.get_logger()


class CannotServe(Exception):
    """The server cannot listen at an address; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The answer to a request."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = TEXT


# Makes a page, given the request's header `Accept`.
Make = Callable[[str], Page]


def well(words: str) -> Page:
    """Return the page of a probe if all is well."""
    return Page(body=f"{words}\n".encode())


def unwell(words: str) -> Page:
    """Return the page of a probe that says what is wrong."""
    return Page(body=f"{words}\n".encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)


class PageServer:
    """Serves pages by their paths, until it is closed."""

    def __init__(self, address: str, pages: Mapping[str, Make], *, named_by: str) -> None:
        """Listen at `host:port`, which the setting `named_by` has. Raises CannotServe."""
        host, port = host_and_port(address)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._server = _Server(found[0][0], found[0][4], pages)
        except OSError as error:
            raise CannotServe(
                f"{named_by}: nothing can be served at {address}: {error.strerror or error}; name "
                "an address of this machine, and a port that nothing else uses"
            ) from None
        threading.Thread(target=self._server.serve_forever, name="pages", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingTCPServer):
    """One thread for each request, up to a maximum."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, family: int, address: Any, pages: Mapping[str, Make]) -> None:
        self.address_family = family
        self.pages = pages
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; after an error, wait before the next try."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(FULL_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; if there are too many, close the oldest connection."""
        with self._lock:
            if len(self._open) >= MAX_REQUESTS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection after its answer."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: only clients that have disconnected cause any."""
        del request, client_address


class _Handler(BaseHTTPRequestHandler):
    """Answers one request with a page."""

    server: _Server
    timeout = QUIET_SECONDS
    server_version = "overture"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with the page's headers."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(page.body)

    def _page(self) -> Page:
        make = self.server.pages.get(urlsplit(self.path).path)
        if make is None:
            paths = ", ".join(self.server.pages)
            return Page(body=f"there are {paths}\n".encode(), status=HTTPStatus.NOT_FOUND)
        try:
            return make(self.headers.get("Accept", ""))
        except Exception:
            log.exception("page.stumbled", path=urlsplit(self.path).path)
            return Page(
                body=b"an error of Overture's own; see the log\n",
                status=HTTPStatus.INTERNAL_SERVER_ERROR,
            )

    def log_message(self, *_: Any) -> None:
        """Log nothing: there is a request every few seconds."""
