"""What becomes of a delivery: acknowledged behind its outcome, put off, or handed back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from config.names import JOBS_QUEUE, TASK_NAME
from tasks import create_conversation
from tasks.attempt import CLAIMED_RETRY_SECONDS, Rules
from tasks.create_conversation import BUG_RETRY_SECONDS, CreateConversation
from tasks.measures import Measures
from tasks.messages.intake import Received, Work
from tasks.messages.outgoing import Outgoing, rfc3339
from tasks.store.connection import Keys
from tasks.store.finished import short_digest
from tasks.store.ledger import Ceiling
from tests.job_world import ALIVE, RECORDED, World, job_world
from tests.jobs import ACCOUNT, job_document, make_job
from tests.scripted_liveperson import (
    Meanwhile,
    Script,
    Shown,
    created,
    documented,
    page,
    refused_item,
)

MAX_BYTES = 64 * 1024
ENQUEUED_AT = "2026-01-31T09:00:00Z"
REJECTED = refused_item("BAD_REQUEST", "skill is unknown")


class FakeDelivery:
    """A message in hand; `ends` says how it ended: that has to be once."""

    def __init__(self, body: bytes, **headers: Any) -> None:
        self.body = body
        self.received = Received(
            body=body, headers=headers, content_type="application/json", content_encoding="utf-8"
        )
        self.enqueued_at: str | None = ENQUEUED_AT
        self.queue = JOBS_QUEUE
        self.ends: list[str] = []
        self.seconds = 0.0

    def ack(self) -> None:
        self.ends.append("acknowledged")

    def requeue(self) -> None:
        self.ends.append("handed back")

    def defer(self, seconds: float) -> None:
        self.ends.append("put off")
        self.seconds = seconds


@dataclass
class FakePublisher:
    """Keeps what it is to send until a test confirms it, or hands it back."""

    watch: Callable[[Outgoing], object] = id
    sent: list[Outgoing] = field(default_factory=list)
    confirm: list[Callable[[], object]] = field(default_factory=list)
    hand_back: list[Callable[[], object]] = field(default_factory=list)

    def send(
        self,
        message: Outgoing,
        confirmed: Callable[[], object],
        handed_back: Callable[[], object] | None = None,
    ) -> None:
        self.watch(message)
        assert handed_back is not None
        self.sent.append(message)
        self.confirm.append(confirmed)
        self.hand_back.append(handed_back)

    def documents(self) -> list[dict[str, Any]]:
        """Return the messages as their readers see them."""
        return [json.loads(message.body) for message in self.sent]

    def codes(self) -> list[str]:
        """Return the error codes of the dead letters."""
        return [letter["error"]["code"] for letter in self.documents()]


class Kept(Measures):
    """Keeps what it is told; of waits only how many there were."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self.waits = 0

    def attempted(self, account_id: str, kind: str) -> None:
        self.told.append(("attempted", account_id, kind))

    def permitted(self, seconds: float) -> None:
        assert seconds >= 0
        self.waits += 1

    def repeats(self, why: str) -> None:
        self.told.append(("repeats", why))

    def ended(self, account_id: str, count: str, enqueued_at: str | None) -> None:
        self.told.append(("ended", account_id, count, str(enqueued_at)))


class Worker:
    """A worker between a broker and a LivePerson that both are a test's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.publisher = FakePublisher()
        self.task = CreateConversation(
            world.rules,
            publisher=self.publisher,
            pulse=world.pulse,
            accounts={ACCOUNT: world.account},
            max_message_bytes=MAX_BYTES,
        )

    def receive(self, body: object, **headers: Any) -> tuple[Work | None, FakeDelivery]:
        """Have a message read."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        delivery = FakeDelivery(content, **headers)
        return self.task.receive(delivery), delivery

    def take(self, *script: Script, **fields: Any) -> FakeDelivery:
        """Take a job to where its delivery ends, or waits for its outcome's confirm."""
        work, delivery = self.receive(job_document(1, **fields))
        assert work is not None
        self.run(work, delivery, *script)
        return delivery

    def run(self, work: Work, delivery: FakeDelivery, *script: Script) -> None:
        """Do what a thread of the pool does, and wait until the ledger has its outcome."""
        self.world.live.script.extend(script)
        self.task.run(work, delivery)
        self.settle()

    def settle(self) -> None:
        """Wait until the ledger has been told everything."""
        self.world.server.connected = True
        self.world.ledger.close(seconds=5)

    @property
    def state(self) -> str:
        """The state of the job in the ledger."""
        return self.world.field(make_job(), "state")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Give a worker."""
    with job_world(tmp_path, monkeypatch) as world:
        yield Worker(world)


# Acknowledged behind its outcome


@pytest.mark.parametrize(("said", "key"), [(created(), "created"), (REJECTED, "failed")])
def test_a_message_is_acknowledged_once_its_outcome_is_confirmed(
    worker: Worker, said: Script, key: str
) -> None:
    """Not sooner: whatever is killed before then finds the message in the broker."""
    delivery = worker.take(said)
    assert [message.routing_key for message in worker.publisher.sent] == [f"conversation.{key}"]
    assert (delivery.ends, worker.state) == ([], "done")
    worker.publisher.confirm[0]()
    worker.settle()
    assert (delivery.ends, worker.state) == (["acknowledged"], "published")


def test_an_outcome_is_recorded_before_it_is_published(worker: Worker) -> None:
    """To the byte: a later delivery publishes the same."""
    states: list[tuple[str, bytes]] = []
    worker.publisher.watch = lambda _: states.append(
        (worker.state, worker.world.recorded(make_job()))
    )
    worker.take(created())
    assert states == [("done", worker.publisher.sent[0].body)]


def test_a_result_says_when_its_job_was_enqueued(worker: Worker) -> None:
    """As the message's header has it."""
    worker.take(created("conversation-7"))
    (result,) = worker.publisher.documents()
    assert (result["enqueuedAt"], result["conversationId"]) == (ENQUEUED_AT, "conversation-7")
    assert (result["attempts"], result["lpConsumerId"]) == (1, "lp-consumer-1")


def test_an_outcome_that_cannot_be_published_sends_the_message_back(worker: Worker) -> None:
    """It is recorded: the next delivery publishes the recorded bytes, and sends nothing."""
    delivery = worker.take(created())
    worker.publisher.hand_back[0]()
    assert (delivery.ends, worker.state) == (["handed back"], "done")
    worker.take()
    first, second = worker.publisher.sent
    assert first == second
    assert worker.world.live.calls.count("create") == 1


def test_a_conflict_leaves_the_first_job_as_it_was(worker: Worker) -> None:
    """Its dead letter is published, and the record under its id is the first job's."""
    worker.world.begin(make_job(1, consumerId="somebody-else"), f"{ALIVE}/1")
    delivery = worker.take()
    assert worker.publisher.codes() == ["conflict"]
    worker.publisher.confirm[0]()
    worker.settle()
    assert (delivery.ends, worker.state) == (["acknowledged"], "sending")


def taken_over(worker: Worker, *, is_ended: bool) -> Meanwhile:
    """Have another delivery take the job over during the request, and perhaps end it."""
    job, owner = make_job(), f"{ALIVE}/7"

    def happen() -> None:
        holder = worker.world.field(job, "owner")
        worker.world.begin(job, owner, dead_owner=holder)
        if is_ended:
            worker.world.finish(job, owner)

    return Meanwhile(happen)


def test_a_failure_after_a_takeover_does_not_count(worker: Worker) -> None:
    """The other delivery goes on; this one comes back for its outcome."""
    delivery = worker.take(taken_over(worker, is_ended=False), REJECTED)
    assert worker.publisher.sent == []
    assert (delivery.ends, delivery.seconds) == (["put off"], CLAIMED_RETRY_SECONDS)


def test_a_conversation_that_was_opened_counts_whoever_has_the_job(worker: Worker) -> None:
    """Its id is never thrown away."""
    worker.take(taken_over(worker, is_ended=False), created("conversation-7"))
    (result,) = worker.publisher.documents()
    assert result["conversationId"] == "conversation-7"


def test_the_outcome_that_was_recorded_first_is_published(worker: Worker) -> None:
    """Of two deliveries of one job, both publish the same bytes."""
    worker.take(taken_over(worker, is_ended=True), created("conversation-7"))
    assert [message.body for message in worker.publisher.sent] == [RECORDED]


def test_a_job_that_was_forgotten_is_acknowledged_and_no_more(worker: Worker) -> None:
    """It is not sent again, and there is no outcome to be published."""
    job = make_job()
    record = {"state": "forgotten", "digest": short_digest(job), "seen": 1}
    worker.world.store.set(Keys(ACCOUNT).job(job.job_id), json.dumps(record))
    delivery = worker.take()
    assert (delivery.ends, worker.publisher.sent) == (["acknowledged"], [])
    assert "create" not in worker.world.live.calls


# Put off


def test_a_job_that_is_to_be_tried_again_is_put_off(worker: Worker) -> None:
    """The broker holds it meanwhile; nothing is published."""
    delivery = worker.take(page(503))
    assert (delivery.ends, delivery.seconds, worker.state) == (["put off"], 5, "waiting")
    assert worker.publisher.sent == []


def test_a_short_pause_is_waited_for_in_the_thread(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale token is renewed, and the message stays in hand."""
    slept: list[float] = []
    monkeypatch.setattr(worker.world.shutdown, "sleep", slept.append)
    stale = documented("resp_07_401_consumerjws_invalid", status=401)
    delivery = worker.take(stale, stale, created())
    assert slept == [0.5, 1.0]
    tried = ["tokens", "create", "renew consumer"]
    assert worker.world.live.calls == [*tried, *tried, "tokens", "create"]
    assert [result["attempts"] for result in worker.publisher.documents()] == [3]
    assert delivery.ends == []


def test_a_bug_puts_a_job_off(worker: Worker) -> None:
    """And counts as a lost worker: what was sent has an unknown fate."""
    delivery = worker.take(Meanwhile(lambda: 1 / 0))
    assert (delivery.ends, delivery.seconds) == (["put off"], BUG_RETRY_SECONDS)
    worker.take(documented("resp_04_400_already_open", status=400), Shown("conversation-7"))
    (result,) = worker.publisher.documents()
    assert (result["conversationId"], result["resolvedBy"]) == ("conversation-7", "monitoring")


def in_seconds(seconds: float) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(seconds=seconds))


def test_a_job_whose_time_has_not_come_is_put_off_until_then(worker: Worker) -> None:
    """LivePerson is not called, and the ledger says for what it waits."""
    delivery = worker.take(notBefore=in_seconds(60))
    assert delivery.ends == ["put off"]
    assert 55 < delivery.seconds <= 60
    assert worker.world.live.calls == []
    assert worker.world.field(make_job(), "waits_for") == "notBefore"
    assert worker.state == "waiting"


def test_a_job_whose_time_has_come_is_sent(worker: Worker) -> None:
    """At any later moment."""
    worker.take(created(), notBefore=in_seconds(-1))
    assert [result["status"] for result in worker.publisher.documents()] == ["created"]


def test_celerys_countdown_is_a_time_before_which_nothing_is_sent(worker: Worker) -> None:
    """And no job waits for longer than until it expires: its dead letter comes in time."""
    work, delivery = worker.receive(
        [[job_document(1, expiresAt=in_seconds(30))], {}, {}],
        task=TASK_NAME,
        eta=in_seconds(3600),
    )
    assert work is not None
    worker.run(work, delivery)
    assert delivery.ends == ["put off"]
    assert 25 < delivery.seconds <= 30


def test_an_expired_job_waits_for_nothing(worker: Worker) -> None:
    """Also if its `eta` is still to come."""
    work, delivery = worker.receive(
        [[job_document()], {}, {}],
        task=TASK_NAME,
        eta=in_seconds(3600),
        expires=in_seconds(-1),
    )
    assert work is not None
    worker.run(work, delivery)
    assert worker.publisher.codes() == ["expired"]
    assert delivery.ends == []


# Handed back


def test_a_worker_that_stops_begins_nothing(worker: Worker) -> None:
    """What waits in its pool goes to another worker at once."""
    worker.world.shutdown.draining.set()
    delivery = worker.take()
    assert (delivery.ends, worker.state) == (["handed back"], "")
    assert worker.world.live.calls == []


def test_a_worker_that_stops_brings_what_was_sent_to_its_end(worker: Worker) -> None:
    """SIGTERM during the request."""
    drain = Meanwhile(worker.world.shutdown.draining.set)
    delivery = worker.take(drain, created())
    assert len(worker.publisher.sent) == 1
    assert (delivery.ends, worker.state) == ([], "done")


def test_a_job_that_waits_for_its_permit_is_let_go_and_handed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim ends, so that whoever gets it next need not wait."""
    with job_world(tmp_path, monkeypatch, ceiling=Ceiling(rate=1e6, in_flight=1)) as world:
        worker = Worker(world)
        world.begin(make_job(2), f"{ALIVE}/2")
        timer = threading.Timer(0.05, world.shutdown.draining.set)
        timer.start()
        delivery = worker.take()
        timer.join()
        assert (delivery.ends, worker.state) == (["handed back"], "waiting")
        assert world.field(make_job(), "owner") == ""


def test_at_the_very_end_an_attempt_is_left_unrecorded(worker: Worker) -> None:
    """Its claim stays: to the next delivery it is an attempt of unknown fate."""

    def end() -> None:
        worker.world.shutdown.draining.set()
        worker.world.shutdown.over.set()

    delivery = worker.take(Meanwhile(end), page(503))
    assert (delivery.ends, worker.state) == (["handed back"], "sending")


def test_a_job_is_handed_back_though_the_store_is_away(worker: Worker) -> None:
    """Its claim ends with its worker's pulse."""
    worker.world.server.connected = False
    timer = threading.Timer(0.05, worker.world.shutdown.draining.set)
    timer.start()
    delivery = worker.take()
    timer.join()
    assert delivery.ends == ["handed back"]


# What is no job


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        pytest.param(b"\x80\x04not JSON", {}, "malformed_message", id="no JSON"),
        pytest.param(b"x" * (MAX_BYTES + 1), {}, "malformed_message", id="larger than any job"),
        pytest.param([1, 2], {"task": TASK_NAME}, "malformed_message", id="no Celery body"),
        pytest.param([[], {}, {}], {"task": "others.task"}, "malformed_message", id="no task"),
        pytest.param({"jobId": "job-1"}, {}, "invalid_job", id="no consumer"),
        pytest.param([[{}], {}, {"chain": [1]}], {"task": TASK_NAME}, "invalid_job", id="a chain"),
        pytest.param(job_document(accountId="9"), {}, "unknown_account", id="unknown account"),
    ],
)
def test_what_is_no_job_is_a_dead_letter_at_once(
    worker: Worker, body: object, headers: dict[str, str], code: str
) -> None:
    """It needs no thread of the pool and no ledger; its message is acknowledged behind it."""
    work, delivery = worker.receive(body, **headers)
    assert work is None
    assert worker.publisher.codes() == [code]
    assert delivery.ends == []
    worker.publisher.confirm[0]()
    worker.settle()
    assert (delivery.ends, worker.state) == (["acknowledged"], "")


def test_a_bug_in_the_reading_is_a_dead_letter_with_the_message(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker would stumble over it again."""

    def stumble(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(create_conversation, "read_work", stumble)
    work, delivery = worker.receive(job_document())
    assert work is None
    assert worker.publisher.codes() == ["internal_error"]
    assert worker.publisher.documents()[0]["raw"] == delivery.body.decode()


class Unforeseen:
    """A delivery that cannot even be looked at."""

    def __init__(self) -> None:
        self.deferred: list[float] = []

    @property
    def received(self) -> NoReturn:
        raise RuntimeError("nobody thought of this")

    def defer(self, seconds: float) -> None:
        self.deferred.append(seconds)


def test_no_delivery_ends_the_event_loop() -> None:
    """It is put off instead: the broker would hand it out again at once, and to every worker."""
    absent: Any = None
    rules = Rules(
        ledger=absent,
        permits=absent,
        brake=absent,
        shutdown=absent,
        policy=absent,
        max_losses=1,
    )
    task = CreateConversation(
        rules,
        publisher=absent,
        pulse=absent,
        accounts={},
        max_message_bytes=1000,
    )
    delivery: Any = Unforeseen()
    assert task.receive(delivery) is None
    assert delivery.deferred == [BUG_RETRY_SECONDS]


# The trace context

TRACE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
}
OTHER = {"traceparent": "00-11111111111111111111111111111111-2222222222222222-00"}


def traced(worker: Worker, *script: Script, **headers: Any) -> FakeDelivery:
    """Take a job that has such headers."""
    work, delivery = worker.receive(job_document(), **headers)
    assert work is not None
    worker.run(work, delivery, *script)
    return delivery


@pytest.mark.parametrize("said", [created(), REJECTED])
def test_a_jobs_trace_comes_back_on_its_outcome(worker: Worker, said: Script) -> None:
    """To the byte, and nothing else of its headers does."""
    traced(worker, said, **TRACE, other="header")
    assert [message.headers for message in worker.publisher.sent] == [TRACE]


def test_a_repeated_outcome_has_the_trace_of_the_job_that_it_is_of(worker: Worker) -> None:
    """Whatever the message says that asks again; the ledger keeps it with the outcome."""
    traced(worker, created(), **TRACE)
    traced(worker, **OTHER)
    traced(worker)
    first, *repeats = worker.publisher.sent
    assert first.headers == TRACE
    assert repeats == [first, first]


def test_an_outcome_without_a_trace_is_repeated_without_one(worker: Worker) -> None:
    """The record of such a job is no larger."""
    traced(worker, created())
    traced(worker, **OTHER)
    assert [message.headers for message in worker.publisher.sent] == [{}, {}]
    assert worker.world.field(make_job(), "trace") == ""


def test_a_conflict_has_the_trace_of_its_own_message(worker: Worker) -> None:
    """It is no repeat."""
    traced(worker, created(), **TRACE)
    work, delivery = worker.receive(job_document(1, metadata={"other": "content"}), **OTHER)
    assert work is not None
    worker.run(work, delivery)
    assert [message.headers for message in worker.publisher.sent] == [TRACE, OTHER]


@pytest.mark.parametrize("body", [b"{nope", b"{}", job_document(1, accountId="999")])
def test_what_is_no_job_has_its_trace_on_its_dead_letter(worker: Worker, body: object) -> None:
    """Whatever is wrong with it."""
    work, _ = worker.receive(body, **TRACE)
    assert work is None
    assert [message.headers for message in worker.publisher.sent] == [TRACE]


@pytest.mark.parametrize("name", ["traceparent", "tracestate"])
@pytest.mark.parametrize(
    "odd", [1, None, b"00-0af7", ["00"], {"a": 1}, "0" * 5000], ids=lambda odd: str(odd)[:9]
)
def test_an_odd_trace_hurts_no_job(worker: Worker, name: str, odd: object) -> None:
    """What is no text, or too long, is left out by itself."""
    traced(worker, created(), **{**TRACE, name: odd})
    (message,) = worker.publisher.sent
    assert json.loads(message.body)["status"] == "created"
    assert message.headers == {k: v for k, v in TRACE.items() if k != name}


def test_an_outcome_that_is_a_call_has_its_jobs_trace(worker: Worker) -> None:
    """Beside the headers that Celery reads, where its instrumentation looks for it."""
    worker.task._outcome_tasks = {"conversation.created": "sender.send"}
    traced(worker, created(), **TRACE)
    (message,) = worker.publisher.sent
    assert message.headers["task"] == "sender.send"
    assert message.headers.items() >= TRACE.items()


# Measured


@pytest.fixture
def kept() -> Kept:
    """Give what keeps the measurements."""
    return Kept()


@pytest.fixture
def measured(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Give a worker that is measured."""
    with job_world(tmp_path, monkeypatch, measures=kept) as world:
        yield Worker(world)


def test_a_job_is_measured_at_each_step(measured: Worker, kept: Kept) -> None:
    """Its wait for a permit, its attempt, and its outcome with the time of its message."""
    measured.take(created())
    assert kept.waits == 1
    assert kept.told == [
        ("attempted", ACCOUNT, "created"),
        ("ended", ACCOUNT, "created", ENQUEUED_AT),
    ]


def test_a_job_without_a_time_counts_from_when_it_was_first_seen(
    measured: Worker, kept: Kept
) -> None:
    """A producer need not say when it enqueued a job: results have the same moment."""
    work, delivery = measured.receive(job_document(1))
    assert work is not None
    measured.run(replace(work, enqueued_at=None), delivery, created())
    (result,) = measured.publisher.documents()
    assert kept.told[-1] == ("ended", ACCOUNT, "created", result["enqueuedAt"])


def test_a_job_that_is_tried_again_counts_once(measured: Worker, kept: Kept) -> None:
    """Its attempts count each; so does why it waits between them."""
    measured.take(page(503))
    assert kept.told == [("attempted", ACCOUNT, "unknown"), ("repeats", "retry")]
    measured.take(created())
    assert [one for one in kept.told if one[0] == "ended"] == [
        ("ended", ACCOUNT, "created", ENQUEUED_AT)
    ]


def test_a_repeated_outcome_is_no_other_job(measured: Worker, kept: Kept) -> None:
    """It was counted when it was recorded."""
    measured.take(created())
    measured.take()
    assert [one[0] for one in kept.told] == ["attempted", "ended"]
    assert len(measured.publisher.sent) == 2


def test_what_is_no_job_of_ours_has_no_account(measured: Worker, kept: Kept) -> None:
    """So that no message adds an account to those that are counted."""
    measured.receive(b"{")
    measured.receive(job_document(1, accountId="999"))
    measured.receive(job_document(1, consumerId=""))
    assert kept.told == [
        ("ended", "", f"failed:{code}", ENQUEUED_AT)
        for code in ("malformed_message", "unknown_account", "invalid_job")
    ]


def test_a_conflict_counts_for_its_account(measured: Worker, kept: Kept) -> None:
    """The first job of that id counts for itself."""
    measured.take(created())
    measured.take(priority=1, consumerId="consumer-2")
    assert kept.told[-1] == ("ended", ACCOUNT, "failed:conflict", ENQUEUED_AT)
