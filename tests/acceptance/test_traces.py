"""A job's trace context: it comes back on whatever came of the job, whatever happens meanwhile."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.otlp_receiver import OtlpReceiver
from tests.overture_command import overture
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

BARE, PROTOCOL_1, CELERY, LATER, FAILING, EXPIRED = range(6)
OTHER = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00", "tracestate": "other=1"}


def trace(number: int) -> dict[str, str]:
    """Make a trace context like no other; nobody writes its state so."""
    return {
        "traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01",
        "tracestate": f"Rojo@x=00f067aa0ba902b7,  congo=t61rcWkgMzE ,n={number}",
    }


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Have a repeat wait in the broker."""
    return {
        **settings,
        "domain_api_url": simulator.url,
        "max_rate": 1000,
        "retry_schedule": "1.2,1.2",
    }


def enqueue(client: BrokerClient, number: int, **fields: Any) -> None:
    """Enqueue a job in the way that its number stands for."""
    job = job_document(number, **fields)
    if number == CELERY:
        client.send_task(job, headers=trace(number))
        return
    body = job if number != PROTOCOL_1 else {"task": "conversations.create", "args": [job]}
    client.put_raw([json.dumps(body).encode()], headers=trace(number))


def test_a_jobs_trace_comes_back_byte_for_byte(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """From each kind of message; after a wait, a repeat, and the loss of a worker.

    A repeated outcome has the trace of the job that it is of, and so has a replayed one.
    """
    simulator.control("faults", {"consumer": "consumer-4", "fault": "server_error", "times": 2})
    simulator.control("limits", {"latency": 600})
    now = datetime.now(UTC)
    with WorkerProcess(settings) as first:
        enqueue(client, LATER, notBefore=(now + timedelta(seconds=3)).isoformat())
        enqueue(client, EXPIRED, expiresAt=now.isoformat())
        for number in (BARE, PROTOCOL_1, CELERY, FAILING):
            enqueue(client, number)
        client.put_raw([b"{nope"], headers=trace(6))
        wait_until(lambda: simulator.stats()["total"]["inFlight"] >= 4, "calls are under way")
        first.kill()
    simulator.control("limits", {"latency": 0})
    with WorkerProcess(settings):
        client.wait_until(lambda out: len(out.headers) >= 7, "seven outcomes", seconds=40)
        (malformed,) = client.out.headers.keys() - {f"job-{number}" for number in range(6)}
        expected = {f"job-{number}": trace(number) for number in range(6)} | {malformed: trace(6)}
        assert len(client.out.results) >= 5
        assert client.out.codes() == {"job-5": "expired"}
        for name, headers in client.out.headers.items():
            assert all(one == expected[name] for one in headers), name
        client.out.headers.clear()
        # The same jobs with another trace, and one whose dead letter is replayed.
        again = [json.dumps(job_document(number)).encode() for number in (BARE, FAILING)]
        client.put_raw(again, headers=OTHER)
        client.wait_until(lambda out: len(out.headers) == 2, "both outcomes again")
        assert client.out.headers == {name: [expected[name]] for name in ("job-0", "job-4")}


@pytest.mark.usefixtures("worker")
def test_a_replayed_dead_letter_keeps_its_trace(
    settings: dict[str, object], client: BrokerClient
) -> None:
    """Its job is enqueued with it."""
    enqueue(client, EXPIRED, expiresAt="2026-01-01T00:00:00Z")
    wait_until(lambda: client.waiting("conversations.dead-letters") == 1, "its dead letter")
    ended = overture("dead-letters", "replay", "job-5", settings=settings)
    assert ended.stdout == "replayed 1 dead letter\n"
    client.wait_for(1)
    assert client.out.headers == {"job-5": [trace(EXPIRED)]}


# Spans, with the user's SDK switched on as its documentation has it

INSTRUMENT = Path(sys.executable).parent / "opentelemetry-instrument"


class TracedWorker(WorkerProcess):
    """A worker under `opentelemetry-instrument`, which the `OTEL_*` variables configure."""

    def __init__(self, settings: dict[str, object], receiver: OtlpReceiver, name: str) -> None:
        super().__init__(settings)
        self._command = [str(INSTRUMENT), *self._command]
        self._environment |= {
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }


def produce(client: BrokerClient, document: dict[str, Any], receiver: OtlpReceiver) -> None:
    """Send a task from a plain Celery producer that OpenTelemetry's instrumentation traces."""
    provider = TracerProvider(resource=Resource.create({"service.name": "producer"}))
    exporter = OTLPSpanExporter(endpoint=f"{receiver.url}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor: Any = CeleryInstrumentor()  # type: ignore[no-untyped-call]
    instrumentor.instrument(tracer_provider=provider)
    try:
        with provider.get_tracer("producer").start_as_current_span("order"):
            client.send_task(document)
    finally:
        instrumentor.uninstrument()
        provider.shutdown()


def named(spans: list[Span], name: str) -> list[Span]:
    """Return the spans of a name, in their order."""
    return sorted(
        (span for span in spans if span.name == name), key=lambda span: span.start_time_unix_nano
    )


def said(span: Span) -> dict[str, Any]:
    """Return a span's attributes."""
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_one_trace_leads_from_the_producer_to_the_result(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Through a retry, a worker that is killed while it sends, and a 429; in one receiver."""
    simulator.control("faults", {"consumer": "consumer-1", "fault": "server_error"})
    with OtlpReceiver() as receiver:
        with TracedWorker(settings, receiver, "killed") as first:
            produce(client, job_document(1), receiver)
            wait_until(lambda: first.events("job.put_off"), "it is put off")
            simulator.control("limits", {"latency": 3000})
            wait_until(lambda: simulator.stats()["total"]["inFlight"], "a call is under way")
            first.kill()
        wait_until(lambda: not simulator.stats()["total"]["inFlight"], "it has its answer")
        simulator.control("limits", {"latency": 0})
        simulator.control("faults", {"consumer": "consumer-1", "fault": "too_many_requests"})
        with TracedWorker(settings, receiver, "overture") as second:
            client.wait_for(1, seconds=40)
            assert second.stop() == 0
            # Its log is written in the background; at its end all of it is there.
            (ended,) = second.events("job.ended")
    (order,) = named(receiver.by_process["producer"], "order")
    assert {span.trace_id for span in receiver.spans} == {order.trace_id}
    assert receiver.by_process.keys() == {"producer", "killed", "overture"}
    steps = {
        name: [
            (said(span)["overture.outcome"], said(span).get("overture.why"))
            for span in named(spans, "process conversations.jobs")
            # The killed worker's claim may have to end first.
            if said(span).get("overture.why") != "held"
        ]
        for name, spans in receiver.by_process.items()
    }
    assert steps["killed"] == [("put_off", "retry")]
    assert steps["overture"] == [("created", None)]
    spans = receiver.by_process["overture"]
    *_, last = named(spans, "process conversations.jobs")
    assert (ended["trace_id"], ended["span_id"]) == (order.trace_id.hex(), last.span_id.hex())
    (published,) = named(spans, "publish conversations")
    assert published.parent_span_id == last.span_id
    # Celery's own instrumentation has the task around each delivery, below the producer's span.
    (sent,) = named(receiver.by_process["producer"], "apply_async/conversations.create")
    assert sent.parent_span_id == order.span_id
    runs = {
        span.span_id
        for span in named(receiver.spans, "run/conversations.create")
        if span.parent_span_id == sent.span_id
    }
    assert {
        span.parent_span_id for span in named(receiver.spans, "process conversations.jobs")
    } <= runs
    # The killed worker's last call never ended, and so has no span; the next one counts it. It
    # opened the conversation, which is then found open, after a 429.
    calls = [
        (name, said(span)["http.response.status_code"], said(span).get("http.request.resend_count"))
        for name, spans in receiver.by_process.items()
        for span in named(spans, "POST")
        if said(span)["overture.service"] == "asyncMessagingEnt"
    ]
    assert calls == [("killed", 500, None), ("overture", 429, 2), ("overture", 400, 3)]
    # What a consumer of the result goes on with is the producer's.
    (headers,) = client.out.headers["job-1"]
    assert headers["traceparent"].split("-")[1] == order.trace_id.hex()
    text = "".join(map(str, receiver.spans))
    assert not re.search(r"eyJ[\w-]+\.|demo-secret", text)
