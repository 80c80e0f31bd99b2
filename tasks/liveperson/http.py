"""One HTTP call, with a limit on everything: it ends in an answer, NotSent or FateUnknown."""

import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from requests import PreparedRequest, Session

from tasks.liveperson.response_reader import MAX_BODY_BYTES, TooLarge
from tasks.liveperson.transport import Adapter, BeforeSending, innermost, tls_context
from tasks.measures import UNMEASURED, Measures
from tasks.tracing import UNTRACED, Tracing

# The adapter decides these itself; they are set so that requests looks nothing up for each call.
AS_IT_IS: Final[dict[str, Any]] = {
    "allow_redirects": False,
    "stream": True,
    "timeout": None,
    "verify": True,
    "cert": None,
    "proxies": {},
}

log = structlog.get_logger()


class NotSent(Exception):
    """The call had no effect, and may safely be repeated.

    `http_status` and `retry_after` (seconds) are set if a server sent them. `is_ours` means that
    the cause is here, and not LivePerson.
    """

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        retry_after: float | None = None,
        is_ours: bool = False,
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.retry_after = retry_after
        self.is_ours = is_ours


class FateUnknown(Exception):
    """The request was sent, at least in part, and no answer could be read."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete answer; `headers` are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Session(Session):
    """A session of requests that never follows a redirect, nor prepares to."""

    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[Any]:
        """Return nothing."""
        return iter(())


class Http:
    """Makes calls over kept-alive connections; threads share one.

    `connect_timeout` is for each address tried, for the TLS handshake and for writing;
    `read_timeout` is for the whole answer, from the last byte sent to the last byte read; both in
    seconds. Resolving a name takes as long as the system's resolver does. `pool_size` is how many
    connections to a host are kept: the number of threads. The environment's proxies and
    certificates are used (`environment`). `ended_at` is when a call last ended, on the monotonic
    clock.
    """

    def __init__(
        self,
        *,
        pool_size: int,
        connect_timeout: float,
        read_timeout: float,
        user_agent: str,
        context: ssl.SSLContext | None = None,
        measures: Measures = UNMEASURED,
        tracing: Tracing = UNTRACED,
    ) -> None:
        adapter = Adapter(
            pool_size=pool_size,
            timeout=(connect_timeout, read_timeout),
            context=context or tls_context(),
        )
        # A real session of requests, so that instrumentation of requests works. Its own pools are
        # never used; all that threads share of it is the adapter.
        self._session = _Session()
        self._session.trust_env = False
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)
        self._read_timeout = read_timeout
        self._measures, self._tracing = measures, tracing
        self.ended_at = time.monotonic()
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        service: str = "",
        resends: int = 0,
    ) -> HttpResponse:
        """Make one call; a redirect is an answer like any other.

        `service` is the name for measures and spans. The call was made `resends` times before.
        Raises NotSent or FateUnknown, not chained to their causes, which refer to the request.
        """
        request = PreparedRequest()
        request.method, request.url, request.body = method, url, body
        length = {} if body is None else {"Content-Length": str(len(body))}
        request.headers = {**self._headers, **headers, **length}  # type: ignore[assignment]  # sending takes a dict as well, at a tenth of the cost
        ended = self._tracing.call(method, url, service=service, resends=resends)
        began_at, status, fault = time.monotonic(), None, ""
        try:
            response = self._session.send(request, **AS_IT_IS)
            log.debug("http.answered", method=method, url=url, status=response.status_code)
            answer = HttpResponse(response.status_code, response.headers, response.raw.read())
            status = answer.status
        except BeforeSending as error:
            failure: Exception = NotSent(str(error), is_ours=error.is_ours)
            fault = NotSent.__name__
        except Exception as error:  # noqa: BLE001 - after sending, every error means unknown fate
            failure = self._failure(innermost(error))
            fault = type(innermost(error)).__name__
        else:
            return answer
        finally:
            self.ended_at = time.monotonic()
            self._measures.called(service, status, self.ended_at - began_at)
            ended(status, fault)
        raise failure

    def close(self) -> None:
        """Close the idle connections; calls in progress go on."""
        self._session.close()

    def _failure(self, error: BaseException) -> FateUnknown:
        match error:
            case TimeoutError():
                return FateUnknown(f"no complete answer within {self._read_timeout:g} s")
            case TooLarge():
                return FateUnknown(f"the answer is larger than {MAX_BODY_BYTES} bytes")
        name = type(error).__name__
        return FateUnknown(f"the connection failed after the request was sent ({name})")
