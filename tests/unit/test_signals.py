"""Celery's signals of a task: who knows them knows our jobs, and nobody pays for them unheard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Message
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from config.names import JOBS_QUEUE, TASK_NAME
from tasks.create_conversation import CreateConversation
from tasks.messages.outgoing import Outgoing
from tests.job_world import World, job_world
from tests.jobs import ACCOUNT, job_document, make_job
from tests.memory_broker import MemoryDelivery
from tests.scripted_liveperson import Script, created, page, refused_item
from worker.broker.in_hand import InHand
from worker.signals import OF_A_TASK, run_of

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
REFUSED = refused_item("BAD_REQUEST", "skill is unknown")
# What a plain producer writes beside the job.
CELERYS = {"lang": "py", "task": TASK_NAME, "id": "task-7", "origin": "gen1@producer"}


class Publisher:
    """Has all that it is to send."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def send(self, message: Outgoing, confirmed: Callable[[], object], *_: object) -> None:
        self.sent.append(message)
        confirmed()


class Channel:
    """As much of a channel as a message needs."""

    no_ack_consumers: frozenset[str] = frozenset()

    def basic_ack(self, *_: object, **__: object) -> None:
        pass

    def defer(self, *_: object) -> None:
        pass


class Consumer:
    """As much of Celery's consumer as a request needs."""

    hostname = "worker@here"
    connection_errors = ()

    def __init__(self, app: Celery) -> None:
        self.app = app


class Worker:
    """A worker that takes a job from its message to its end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.task = CreateConversation(
            world.rules,
            publisher=Publisher(),
            pulse=world.pulse,
            accounts={ACCOUNT: world.account},
            max_message_bytes=64 * 1024,
        )
        app = Celery("test", set_as_current=False)
        app.register_task(self.task)
        self.consumer = Consumer(app)

    def take(self, *script: Script, headers: dict[str, Any] | None = None, **job: Any) -> None:
        """Take a job: a bare one, or with Celery's headers a call."""
        self.world.live.script.extend(script)
        document: Any = job_document(1, **job)
        call: Any = [[document], {}, {}] if headers and "task" in headers else document
        channel: Any = Channel()
        body: Any = json.dumps(call).encode()
        message = Message(
            body,
            delivery_tag="1",
            content_type="application/json",
            content_encoding="utf-8",
            channel=channel,
            headers=headers,
            properties={"message_id": "m"},
            delivery_info={"routing_key": JOBS_QUEUE},
        )
        in_hand = InHand(lambda how: how(), lambda how: how(), enough=2, multiple=False)
        sender: Any = Publisher()
        delivery = MemoryDelivery(message, queue=JOBS_QUEUE, in_hand=in_hand, publisher=sender)
        in_hand.add(delivery)
        work = self.task.receive(delivery)
        assert work is not None
        run_of(self.task, self.consumer, work, delivery)(work, delivery)
        self.world.ledger.close(seconds=5)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Give a worker."""
    with job_world(tmp_path, monkeypatch) as world:
        yield Worker(world)


@pytest.fixture
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Listen to all of them, as a plain logger does."""
    said: list[tuple[str, dict[str, Any]]] = []

    def listen(signal: Any, **facts: Any) -> None:
        task: Any = facts["sender"] if signal.name != "task_received" else None
        request = facts.get("request") or task.request
        said.append((signal.name, {**facts, "request": request}))

    for signal in OF_A_TASK:
        signal.connect(listen)
    yield said
    for signal in OF_A_TASK:
        signal.disconnect(listen)


def names(heard: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name for name, _ in heard]


def test_a_job_with_a_conversation_is_a_task_that_succeeds(
    worker: Worker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """Its result is what is published; all of them speak of one request."""
    worker.take(created("conversation-7"), headers=CELERYS)
    assert names(heard) == ["task_received", "task_prerun", "task_success", "task_postrun"]
    received, before, success, after = (facts for _, facts in heard)
    assert success["result"]["conversationId"] == "conversation-7"
    assert success["runtime"] > 0
    assert (after["state"], after["retval"]) == ("SUCCESS", success["result"])
    assert {facts["request"].id for _, facts in heard} == {"task-7"}
    assert before["task_id"] == after["task_id"] == "task-7"
    assert before["task"] is after["task"] is worker.task
    assert before["args"] == after["args"] == [job_document()]
    assert received["request"].name == TASK_NAME
    assert received["request"].delivery_info["routing_key"] == JOBS_QUEUE
    assert before["request"].hostname == "worker@here"
    assert before["request"].origin == "gen1@producer"


def test_a_dead_letter_is_a_task_that_fails(
    worker: Worker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """The exception says its code and why."""
    worker.take(REFUSED)
    assert names(heard) == ["task_received", "task_prerun", "task_failure", "task_postrun"]
    failure, after = heard[2][1], heard[3][1]
    assert str(failure["exception"]).startswith("rejected: ")
    assert "skill is unknown" in str(failure["exception"])
    assert failure["exception"] is after["retval"]
    assert "JobFailed: rejected: " in str(failure["einfo"])
    assert failure["traceback"] is not None
    assert after["state"] == "FAILURE"


def test_a_job_that_is_put_off_is_a_task_that_retries(
    worker: Worker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """The reason is that of the log."""
    worker.take(page(503))
    assert names(heard) == ["task_received", "task_prerun", "task_retry", "task_postrun"]
    assert heard[2][1]["reason"].message == "retry"
    assert heard[3][1]["state"] == "RETRY"


def test_a_job_that_is_handed_back_is_a_task_that_is_rejected(
    worker: Worker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """While the worker drains."""
    worker.world.shutdown.draining.set()
    worker.take()
    assert names(heard) == ["task_received", "task_prerun", "task_postrun"]
    assert heard[2][1]["state"] == "REJECTED"


def test_a_bare_job_is_a_task_with_its_own_id(
    worker: Worker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """And the headers that it has."""
    worker.take(created(), headers=TRACE, notBefore="2026-01-01T00:00:00Z")
    request = heard[1][1]["request"]
    assert (request.id, request.task, request.traceparent) == ("job-1", TASK_NAME, *TRACE.values())
    assert request.eta == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "odd",
    [{"id": 7}, {"eta": "soon"}, {"expires": 1}, {"timelimit": "x"}, {"properties": 1}],
    ids=str,
)
def test_an_odd_header_hurts_no_job(
    worker: Worker, heard: list[tuple[str, dict[str, Any]]], odd: dict[str, Any]
) -> None:
    """It is done as it would be unheard."""
    worker.take(created(), headers={**CELERYS, **odd})
    assert names(heard)[-1] == "task_postrun"
    assert heard[-1][1]["state"] == "SUCCESS"


def test_a_listener_that_fails_hurts_no_job(
    worker: Worker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """Celery logs what it raises."""

    def fail(**_: object) -> None:
        raise LookupError

    for signal in OF_A_TASK:
        signal.connect(fail)
    worker.take(created())
    assert names(heard)[-2:] == ["task_success", "task_postrun"]
    assert worker.world.field(make_job(), "state") == "published"


def test_nothing_is_made_where_nobody_listens(worker: Worker) -> None:
    """The task itself is called, and nothing around it."""
    nothing: Any = None
    assert run_of(worker.task, nothing, nothing, nothing) == worker.task.run


# OpenTelemetry's instrumentation for Celery


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Instrument Celery."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor: Any = CeleryInstrumentor()  # type: ignore[no-untyped-call]
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


def span_of(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    assert span.name == f"run/{TASK_NAME}"
    assert span.attributes is not None
    return span


@pytest.mark.parametrize("headers", [TRACE, {**CELERYS, **TRACE}], ids=["bare", "Celery's"])
def test_opentelemetrys_instrumentation_sees_a_job_as_a_task(
    worker: Worker, spans: InMemorySpanExporter, headers: dict[str, Any]
) -> None:
    """In the trace of its producer."""
    worker.take(created(), headers=headers)
    span = span_of(spans)
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["celery.state"] == "SUCCESS"
    assert span.attributes["celery.task_name"] == TASK_NAME


def test_opentelemetrys_instrumentation_sees_a_failure(
    worker: Worker, spans: InMemorySpanExporter
) -> None:
    """With its code."""
    worker.take(REFUSED)
    span = span_of(spans)
    assert span.status.status_code is StatusCode.ERROR
    assert str(span.status.description).startswith("rejected: ")


def test_opentelemetrys_instrumentation_sees_a_retry(
    worker: Worker, spans: InMemorySpanExporter
) -> None:
    """With its reason; it is no failure."""
    worker.take(page(503))
    span = span_of(spans)
    assert span.attributes is not None
    assert "retry" in str(span.attributes["celery.retry.reason"])
    assert span.status.status_code is StatusCode.UNSET
