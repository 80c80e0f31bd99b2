"""One HTTP call with every bound in place: it ends in an answer, NotSent or FateUnknown."""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import structlog
from requests import PreparedRequest, Session

from tasks.liveperson.response_reader import MAX_BODY_BYTES, TooLarge
from tasks.liveperson.transport import Adapter, BeforeSending, innermost, tls_context
from tasks.measures import UNMEASURED, Measures
from tasks.tracing import UNTRACED, Tracing

# What the adapter decides itself; all of it is given, so that requests looks nothing up for a call.
AS_IT_IS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "allow_redirects": False,
        "stream": True,
        "timeout": None,
        "verify": True,
        "cert": None,
        "proxies": {},
    }
)

log = structlog.get_logger()


class NotSent(Exception):
    """The call is known to have had no effect: it may be made again at no risk.

    `http_status` and `retry_after` (seconds) are there where a server said them. `is_ours` tells
    that no server has a part in it: it says nothing of LivePerson.
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
    """The request was sent, wholly or in part, and no answer to it could be read."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer read whole; `headers` finds names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """Makes calls over kept-alive connections; threads share one.

    `connect_timeout` bounds each address tried, the TLS handshake and the writing; `read_timeout`
    bounds the answer as a whole, from the request's last byte to its own; both in seconds. How long
    a name takes to resolve is up to the system's resolver. `pool_size` is how many connections to
    a host are kept: the number of threads. The environment's proxies and certificates are honoured
    (`environment`). `ended_at` is when a call last ended, of the monotonic clock.
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
        # Whatever hangs on requests, such as instrumentation, meets a session of it. Its own pools
        # are never used, and threads share no more of it than the adapter.
        self._session = Session()
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
        """Make one call, to a `service` by its name; a redirect is an answer like any other.

        It was made `resends` times before.

        Raises NotSent or FateUnknown, cut off from the errors below them: those hold the request.
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
        except Exception as error:  # noqa: BLE001 - it was sent, so nothing but this can be said
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
        """Close the idle connections; calls under way end as they would."""
        self._session.close()

    def _failure(self, error: BaseException) -> FateUnknown:
        match error:
            case TimeoutError():
                return FateUnknown(f"no complete answer within {self._read_timeout:g} s")
            case TooLarge():
                return FateUnknown(f"the answer is larger than {MAX_BODY_BYTES} bytes")
        name = type(error).__name__
        return FateUnknown(f"the connection failed after the request was sent ({name})")
