"""Spans of OpenTelemetry, if its API is installed and the user has an SDK that collects them.

Sources: OpenTelemetry's semantic conventions for HTTP (stable), and for messaging.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from config.names import EXCHANGE_NAME, FAILED_KEY
from config.version import VERSION
from tasks.messages.intake import Work
from tasks.messages.outcome import Outcome
from tasks.messages.trace import Trace
from tasks.tracing import NO_IDS, Processing, Tracing

# Messages have W3C's headers, whatever format the user's SDK uses otherwise.
W3C: Final = TraceContextTextMapPropagator()
PORTS: Final = {"https": 443, "http": 80}
# How often to look for a provider, which may be set at any time; each look reads the environment.
POLL_SECONDS: Final = 1.0


class OpenTelemetry(Tracing):
    """Makes the spans, once there is a provider to collect them.

    `system` is the broker's name in the semantic conventions.
    """

    def __init__(self, system: str) -> None:
        self._system = system
        # The tracer uses a provider that is set later, too.
        self._tracer = trace.get_tracer("overture", VERSION)
        self._is_on = False
        self._look_at = 0.0

    def process(self, queue: str, work: Work) -> Processing:
        """Return a span in the producer's trace; a job with a `notBefore` gets its own, linked."""
        if not self._has_provider():
            return super().process(queue, work)
        around = get_current()
        links = []
        if not trace.get_current_span(around).get_span_context().is_valid:
            around = W3C.extract(work.trace)
            producer = trace.get_current_span(around).get_span_context()
            if work.not_before is not None and producer.is_valid:
                around, links = Context(), [Link(producer)]
        span = self._tracer.start_span(
            f"process {queue}",
            context=around,
            kind=SpanKind.CONSUMER,
            links=links,
            attributes={
                "messaging.system": self._system,
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": queue,
                "messaging.message.id": work.job.job_id,
                "overture.account": work.job.account_id,
            },
        )
        return _Processed(span, around)

    def here(self) -> Context | None:
        """Return the context of this thread."""
        return get_current() if self._is_on else None

    def publish(self, outcome: Outcome, origin: Context | None) -> Callable[[bool], object]:
        """Begin a producer's span; without a job it is in the trace of the message."""
        # Without a job nothing has checked for a provider yet.
        if not (self._is_on or (origin is None and self._has_provider())):
            return super().publish(outcome, origin)
        span = self._tracer.start_span(
            f"publish {EXCHANGE_NAME}",
            context=W3C.extract(outcome.trace) if origin is None else origin,
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": self._system,
                "messaging.operation.name": "publish",
                "messaging.operation.type": "send",
                "messaging.destination.name": EXCHANGE_NAME,
                "messaging.rabbitmq.destination.routing_key": outcome.routing_key,
                "messaging.message.id": outcome.message_id,
            },
        )

        def ended(is_confirmed: bool) -> None:  # noqa: FBT001 - of `Tracing`
            if not is_confirmed:
                _fail(span, "not_confirmed")
            span.end()

        return ended

    def call(
        self, method: str, url: str, *, service: str, resends: int
    ) -> Callable[[int | None, str], object]:
        """Begin a client's span, without the query, which names visitors."""
        if not self._is_on:
            return super().call(method, url, service=service, resends=resends)
        parts = urlsplit(url)
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.full": f"{parts.scheme}://{parts.netloc}{parts.path}",
            "server.address": parts.hostname or "",
            "server.port": parts.port or PORTS.get(parts.scheme, 0),
            "overture.service": service,
        }
        if resends:
            attributes["http.request.resend_count"] = resends
        span = self._tracer.start_span(method, kind=SpanKind.CLIENT, attributes=attributes)

        def ended(status: int | None, error: str) -> None:
            if status is not None:
                span.set_attribute("http.response.status_code", status)
            if status is None or status >= HTTPStatus.BAD_REQUEST:
                _fail(span, error if status is None else str(status))
            span.end()

        return ended

    def _has_provider(self) -> bool:
        if not self._is_on and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + POLL_SECONDS
            provider = trace.get_tracer_provider()
            self._is_on = not isinstance(provider, trace.ProxyTracerProvider)
        return self._is_on


class _Processed(Processing):
    """A span that is the thread's current one while the job is worked on."""

    def __init__(self, span: Span, around: Context) -> None:
        self._span = span
        self._inside = trace.set_span_in_context(span, around)
        self._token: Any = None
        found = span.get_span_context()
        self.ids: Mapping[str, str] = NO_IDS
        if found.is_valid:
            self.ids = {
                "trace_id": trace.format_trace_id(found.trace_id),
                "span_id": trace.format_span_id(found.span_id),
            }
        carrier: dict[str, str] = {}
        W3C.inject(carrier, context=self._inside)
        self.trace: Trace = carrier

    def __enter__(self) -> Self:
        """Make it the thread's current span."""
        self._token = attach(self._inside)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the span."""
        if error is not None:
            _fail(self._span, type(error).__name__)
        detach(self._token)
        self._span.end()

    def ended(self, outcome: Outcome) -> None:
        """Set the outcome."""
        _, _, code = outcome.counter.partition(":")
        self._span.set_attribute("overture.outcome", outcome.routing_key.rpartition(".")[2])
        if outcome.routing_key == FAILED_KEY:
            _fail(self._span, code or "failed")

    def put_off(self, why: str, *, seconds: float, cause: str) -> None:
        """Set why, and for how long."""
        self._span.set_attributes(
            {"overture.outcome": "put_off", "overture.why": why, "overture.retry_in": seconds}
        )
        if cause:
            self._span.set_attribute("overture.cause", cause)


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
