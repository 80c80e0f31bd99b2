"""The spans of a job, and none where nobody collects them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from config.names import JOBS_QUEUE
from tasks.create_conversation import CreateConversation
from tasks.liveperson.http import Http, NotSent
from tasks.messages.intake import Received
from tasks.messages.outgoing import Outgoing
from tasks.tracing import UNTRACED
from tests.job_world import World, job_world
from tests.jobs import ACCOUNT, job_document
from tests.scripted_liveperson import Script, created, page, refused_item
from worker.spans import POLL_SECONDS, OpenTelemetry

TRACE_ID, PRODUCER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACE = {"traceparent": f"00-{TRACE_ID}-{PRODUCER}-01", "tracestate": "rojo=1"}


class Delivery:
    """A message in hand."""

    queue = JOBS_QUEUE
    enqueued_at = None

    def __init__(self, body: bytes, headers: dict[str, Any]) -> None:
        self.body = body
        self.received = Received(
            body=body, headers=headers, content_type="application/json", content_encoding="utf-8"
        )

    def ack(self) -> None:
        pass

    def requeue(self) -> None:
        pass

    def defer(self, seconds: float) -> None:
        pass


class Publisher:
    """Confirms whatever it is to send, or hands it back."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.confirms = True

    def send(
        self,
        message: Outgoing,
        confirmed: Callable[[], object],
        handed_back: Callable[[], object] | None = None,
    ) -> None:
        self.sent.append(message)
        assert handed_back is not None
        (confirmed if self.confirms else handed_back)()


class Worker:
    """A worker whose spans are collected."""

    def __init__(self, world: World, spans: OpenTelemetry) -> None:
        self.world = world
        self.publisher = Publisher()
        self.task = CreateConversation(
            replace(world.rules, tracing=spans),
            publisher=self.publisher,
            pulse=world.pulse,
            accounts={ACCOUNT: world.account},
            max_message_bytes=64 * 1024,
        )

    def take(self, *script: Script, headers: dict[str, str] | None = None, **job: Any) -> None:
        self.world.live.script.extend(script)
        self.receive(json.dumps(job_document(1, **job)).encode(), headers)

    def receive(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        delivery = Delivery(body, headers or {})
        work = self.task.receive(delivery)
        if work is not None:
            self.task.run(work, delivery)
        self.world.ledger.close(seconds=5)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Collect spans, as a user's SDK does."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


@pytest.fixture
def worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter
) -> Iterator[Worker]:
    """Give a worker."""
    del exporter
    with job_world(tmp_path, monkeypatch) as world:
        yield Worker(world, OpenTelemetry("rabbitmq"))


def collected(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """Return the spans by the first word of their names."""
    return {span.name.split()[0]: span for span in exporter.get_finished_spans()}


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Return a span's trace, and its parent's id."""
    assert span.context is not None
    parent = trace.format_span_id(span.parent.span_id) if span.parent else ""
    return trace.format_trace_id(span.context.trace_id), parent


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_job_is_a_span_in_its_producers_trace(
    worker: Worker, exporter: InMemorySpanExporter
) -> None:
    """And its outcome another one below it; both by the semantic conventions."""
    worker.take(created(), headers=TRACE)
    spans = collected(exporter)
    process, publish = spans["process"], spans["publish"]
    assert process.name == "process conversations.jobs"
    assert process.kind is SpanKind.CONSUMER
    assert ids(process) == (TRACE_ID, PRODUCER)
    assert facts(process) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": JOBS_QUEUE,
        "messaging.message.id": "job-1",
        "overture.account": ACCOUNT,
        "overture.outcome": "created",
    }
    assert (publish.name, publish.kind) == ("publish conversations", SpanKind.PRODUCER)
    assert process.context is not None
    assert ids(publish) == (TRACE_ID, trace.format_span_id(process.context.span_id))
    assert facts(publish)["messaging.rabbitmq.destination.routing_key"] == "conversation.created"


def test_headers_come_back_as_they_were(worker: Worker, exporter: InMemorySpanExporter) -> None:
    """Whatever spans there are."""
    worker.take(created(), headers=TRACE)
    assert exporter.get_finished_spans()
    assert worker.publisher.sent[0].headers == TRACE


def test_a_job_without_a_trace_begins_one(worker: Worker, exporter: InMemorySpanExporter) -> None:
    """Its outcome goes on with it, and so does a repeat of that."""
    worker.take(created())
    process = collected(exporter)["process"]
    assert process.parent is None
    assert process.context is not None
    parent = trace.format_span_id(process.context.span_id)
    worker.take()
    first, repeat = (message.headers["traceparent"] for message in worker.publisher.sent)
    assert first.startswith(f"00-{ids(process)[0]}-{parent}-")
    assert repeat == first


def test_a_job_that_was_to_wait_has_a_link_to_its_producer(
    worker: Worker, exporter: InMemorySpanExporter
) -> None:
    """A trace that spans days is none that one can look at; its outcome has its own headers."""
    worker.take(created(), headers=TRACE, notBefore="2026-01-01T00:00:00Z")
    process = collected(exporter)["process"]
    assert process.parent is None
    (link,) = process.links
    assert trace.format_trace_id(link.context.trace_id) == TRACE_ID
    assert trace.format_span_id(link.context.span_id) == PRODUCER
    assert ids(process)[0] != TRACE_ID
    assert worker.publisher.sent[0].headers == TRACE


def test_a_dead_letter_is_an_error_with_its_code(
    worker: Worker, exporter: InMemorySpanExporter
) -> None:
    """A span that failed is found by it."""
    worker.take(refused_item("BAD_REQUEST", "skill is unknown"), headers=TRACE)
    spans = collected(exporter)
    assert facts(spans["process"])["error.type"] == "rejected"
    assert spans["process"].status.status_code is StatusCode.ERROR
    assert spans["publish"].status.status_code is StatusCode.UNSET


def test_a_put_off_says_why(worker: Worker, exporter: InMemorySpanExporter) -> None:
    """It is no error; the next delivery is another span of the same trace."""
    worker.take(page(503), headers=TRACE)
    (process,) = exporter.get_finished_spans()
    said = facts(process)
    assert (said["overture.outcome"], said["overture.why"]) == ("put_off", "retry")
    assert (said["overture.retry_in"], process.status.status_code) == (5.0, StatusCode.UNSET)
    assert "HTTP 503" in said["overture.cause"]
    exporter.clear()
    worker.take(created(), headers=TRACE)
    assert ids(collected(exporter)["process"]) == (TRACE_ID, PRODUCER)
    assert worker.world.live.resends == [0, 1]


def test_what_is_no_job_is_published_in_its_messages_trace(
    worker: Worker, exporter: InMemorySpanExporter
) -> None:
    """There is nothing to process."""
    worker.receive(b"{nope", TRACE)
    (publish,) = exporter.get_finished_spans()
    assert (publish.name, ids(publish)) == ("publish conversations", (TRACE_ID, PRODUCER))


def test_an_outcome_that_was_handed_back_is_an_error(
    worker: Worker, exporter: InMemorySpanExporter
) -> None:
    """The broker did not take it."""
    worker.publisher.confirms = False
    worker.take(created(), headers=TRACE)
    assert facts(collected(exporter)["publish"])["error.type"] == "not_confirmed"


def test_the_log_says_which_span_it_is_about(
    worker: Worker, exporter: InMemorySpanExporter
) -> None:
    """Every line that a job's thread writes."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        worker.take(created(), headers=TRACE)
    (line,) = [line for line in lines if line["event"] == "job.ended"]
    process = collected(exporter)["process"]
    assert process.context is not None
    assert line["trace_id"] == TRACE_ID
    assert line["span_id"] == trace.format_span_id(process.context.span_id)


def test_a_context_that_is_there_already_is_gone_on_with(
    worker: Worker, exporter: InMemorySpanExporter
) -> None:
    """As where Celery's own instrumentation has begun a span for the task."""
    tracer = trace.get_tracer_provider().get_tracer("celery")
    soon = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    with tracer.start_as_current_span("run") as around:
        worker.take(created(), headers=TRACE, notBefore=soon)
    process = collected(exporter)["process"]
    assert process.parent is not None
    assert process.parent.span_id == around.get_span_context().span_id


@pytest.mark.parametrize("odd", ["", "00-zz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ü"])
def test_an_odd_trace_begins_a_new_one(
    worker: Worker, exporter: InMemorySpanExporter, odd: str
) -> None:
    """And comes back as it is."""
    worker.take(created(), headers={"traceparent": odd})
    assert collected(exporter)["process"].parent is None
    assert worker.publisher.sent[0].headers == {"traceparent": odd}


# Calls to LivePerson


def collecting(system: str) -> OpenTelemetry:
    """Give what has met a job already."""
    spans = OpenTelemetry(system)
    assert spans._has_provider()
    return spans


@pytest.mark.parametrize(("status", "fault"), [(200, ""), (429, "429"), (503, "503")])
def test_a_call_is_a_clients_span(exporter: InMemorySpanExporter, status: int, fault: str) -> None:
    """By the stable conventions for HTTP; tokens and visitors are in none of them."""
    spans = collecting("rabbitmq")
    url = "https://va.msg.example/api/account/1/x?sid=secret"
    spans.call("POST", url, service="asyncMessagingEnt", resends=2)(status, "")
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("POST", SpanKind.CLIENT)
    assert facts(span) == {
        "http.request.method": "POST",
        "http.request.resend_count": 2,
        "http.response.status_code": status,
        "overture.service": "asyncMessagingEnt",
        "server.address": "va.msg.example",
        "server.port": 443,
        "url.full": "https://va.msg.example/api/account/1/x",
        **({"error.type": fault} if fault else {}),
    }
    assert (span.status.status_code is StatusCode.ERROR) == bool(fault)


def test_a_call_without_an_answer_says_what_went_wrong(exporter: InMemorySpanExporter) -> None:
    """That it was not sent, or the name of the error at the socket."""
    http = Http(
        pool_size=1,
        connect_timeout=1,
        read_timeout=1,
        user_agent="test",
        tracing=collecting("redis"),
    )
    with pytest.raises(NotSent):
        http.call("GET", "http://127.0.0.1:9/x", headers={}, service="idp")
    http.close()
    (span,) = exporter.get_finished_spans()
    said = facts(span)
    assert (said["error.type"], said["server.port"]) == ("NotSent", 9)
    assert "http.response.status_code" not in said


# Without a provider


def test_nothing_is_made_where_nobody_collects_it() -> None:
    """The API alone is installed with many libraries."""
    spans, nothing = OpenTelemetry("redis"), UNTRACED
    unused: Any = None
    assert spans.process(JOBS_QUEUE, unused) is nothing.process(JOBS_QUEUE, unused)
    assert spans.publish(unused, None) is nothing.publish(unused, None)
    ended = spans.call("GET", "", service="", resends=0)
    assert ended is nothing.call("GET", "", service="", resends=0)
    assert spans.here() is None


def test_a_provider_that_comes_later_is_found(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for every second, since a look reads the environment."""
    del exporter
    provider, seconds = trace.get_tracer_provider(), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    spans = OpenTelemetry("redis")
    assert not spans._has_provider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    assert not spans._has_provider()
    seconds[0] += POLL_SECONDS
    assert spans._has_provider()
