"""A few pages over HTTP, for Prometheus and for probes, served by threads of their own.

It speaks plain HTTP and asks nobody who they are: the address decides who can reach it.
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

# So many requests are answered at a time. One more makes the oldest give way, so that clients that
# hold on to their connections keep nobody else out.
MAX_REQUESTS: Final = 16
# A client that neither sends nor reads for so long is let go, in seconds.
QUIET_SECONDS: Final = 5.0
# How long to wait where the system allows no more open files, in seconds.
FULL_SECONDS: Final = 1.0
TEXT: Final = "text/plain; charset=utf-8"

log = structlog.get_logger()


class CannotServe(Exception):
    """Nothing can be served at an address; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a request is answered with."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = TEXT


# Makes a page, given what the client says it accepts (the header `Accept`).
Make = Callable[[str], Page]


def well(words: str) -> Page:
    """Make the page of a probe where all is well."""
    return Page(body=f"{words}\n".encode())


def unwell(words: str) -> Page:
    """Make the page of a probe that says what is not well."""
    return Page(body=f"{words}\n".encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)


class PageServer:
    """Serves pages by their paths, from the moment it is made until it is closed."""

    def __init__(self, address: str, pages: Mapping[str, Make], *, named_by: str) -> None:
        """Listen at `host:port`, which a setting or an option names. Raises CannotServe."""
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
        """Serve nothing more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingTCPServer):
    """One thread for each request, and a bound to their number."""

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
        """Accept a connection; where none can be had, do not ask again at once."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(FULL_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; where too many are at work, the oldest gives way."""
        with self._lock:
            if len(self._open) >= MAX_REQUESTS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection once it is answered."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Make nothing of a client that went away: it is all that comes here."""
        del request, client_address


class _Handler(BaseHTTPRequestHandler):
    """Answers one request with a page."""

    server: _Server
    timeout = QUIET_SECONDS
    server_version = "overture"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page and its contents."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with what is said of the page."""
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
        """Write no line for a request: there is one every few seconds."""
