"""The ledger's promises, on a real Valkey and in memory."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace

import pytest
import structlog
from redis import Redis

from console.admin.records import cancel
from tasks.messages.attempt import Attempt
from tasks.messages.job import Job
from tasks.messages.outcome import Outcome
from tasks.store.answers import Cancelled, Claimed, Conflict, Defer, Go, Held, Lost, Recorded, Wait
from tasks.store.connection import Keys
from tasks.store.ledger import Ceiling, Ledger, Purpose
from tests.finishing import finish
from tests.jobs import ACCOUNT, make_job
from tests.ledger_records import recorded_fields
from tests.memory_store import ON_EITHER_STORE

pytestmark = ON_EITHER_STORE

WIDE = Ceiling(rate=1e6, in_flight=1000)
AT = "2026-11-23T10:00:00.000Z"


@pytest.fixture
def ledger(store: Redis) -> Ledger:
    """Give a ledger that repeats unknown outcomes and bears one lost worker."""
    return Ledger(store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True)


def begin(
    ledger: Ledger,
    job: Job,
    owner: str = "w1/1",
    *,
    ceiling: Ceiling = WIDE,
    purpose: Purpose = "send",
    booked: float = 0,
    dead_owner: str = "",
    visit: str = "",
    patience: float = 100,
) -> object:
    return ledger.begin(
        job,
        owner,
        ceiling=ceiling,
        purpose=purpose,
        booked=booked,
        dead_owner=dead_owner,
        visit=visit,
        patience=patience,
    )


def gone(ledger: Ledger, job: Job, owner: str = "w1/1", **options: str) -> Go:
    begun = begin(ledger, job, owner, **options)  # type: ignore[arg-type] # only names of owners
    assert isinstance(begun, Go), begun
    return begun


def outcome(job: Job, text: str = "mine", count: str = "created") -> Outcome:
    return Outcome(
        message_id=job.job_id,
        account_id=job.account_id,
        routing_key="conversation.created",
        body=text.encode(),
        counter=count,
    )


def attempt(kind: str) -> Attempt:
    return Attempt(at=AT, http_status=None, outcome=kind)


def test_an_attempt_is_written_down_before_it_leaves(ledger: Ledger, store: Redis) -> None:
    """What `begin` allows to send is in the store already."""
    job = make_job()
    claim = gone(ledger, job).claim
    record = recorded_fields(store, job.job_id)
    assert (claim.sent, claim.history, claim.losses) == (1, (), 0)
    assert (record["state"], record["sent"]) == ("sending", 1)
    lock = store.get(Keys(ACCOUNT).consumer(job.consumer_id))
    assert lock is not None
    assert lock.split()[-1] == job.job_id.encode()


def test_who_asks_again_because_the_answer_was_lost_sends_once(
    ledger: Ledger, store: Redis
) -> None:
    """It gets the same answer: one attempt is counted, one request is in flight."""
    job = make_job()
    assert gone(ledger, job) == gone(ledger, job)
    assert recorded_fields(store, job.job_id)["sent"] == 1
    assert store.zcard(Keys(ACCOUNT).in_flight) == 1


def test_a_job_whose_outcome_cannot_be_recorded_comes_back(ledger: Ledger) -> None:
    """As after any bug of ours: its claim ends, and one lost worker is counted."""
    job = make_job()
    gone(ledger, job)
    bad = replace(outcome(job), body=None)  # type: ignore[arg-type] # what no caller should do
    with structlog.testing.capture_logs() as lines:
        assert finish(ledger, job, "w1/1", outcome=bad) == Lost()
    assert [line["event"] for line in lines] == ["store.call_not_made"]
    assert gone(ledger, job, "w2/1").claim.losses == 1


def test_an_outcome_is_replayed_to_every_later_delivery(ledger: Ledger) -> None:
    """A redelivery changes nothing: it gets the bytes that were published."""
    job = make_job()
    gone(ledger, job)
    assert finish(ledger, job, "w1/1", outcome=outcome(job)) == Recorded(outcome(job))
    for owner in ("w1/1", "w2/1"):
        begun = begin(ledger, job, owner)
        assert isinstance(begun, Recorded)
        assert (begun.outcome.body, begun.outcome.routing_key) == (b"mine", "conversation.created")


def test_it_is_known_for_which_job_a_conversation_was_opened(ledger: Ledger) -> None:
    """Not who reused it: that job opened nothing."""
    first, second = make_job(1), make_job(2)
    for job, created_id in ((first, "conversation-1"), (second, "")):
        gone(ledger, job)
        finish(ledger, job, "w1/1", outcome=replace(outcome(job), created_id=created_id))
    assert ledger.opener(ACCOUNT, "conversation-1") == first.job_id
    assert ledger.opener(ACCOUNT, "conversation-2") == ""


def test_published_outcomes_are_replayed_too(ledger: Ledger, store: Redis) -> None:
    """`published` is `done`, and the broker has it."""
    job = make_job()
    ledger.mark_published(ACCOUNT, job.job_id)
    ledger.close(seconds=10)
    assert store.exists(Keys(ACCOUNT).job(job.job_id)) == 0
    gone(ledger, job)
    finish(ledger, job, "w1/1", outcome=outcome(job))
    ledger.mark_published(ACCOUNT, job.job_id)
    ledger.close(seconds=10)
    assert recorded_fields(store, job.job_id)["state"] == "published"
    assert isinstance(begin(ledger, job), Recorded)


def test_the_same_id_with_other_content_is_a_conflict(ledger: Ledger) -> None:
    """At every stage of the first job."""
    job, other = make_job(), make_job(consumerId="somebody-else")
    gone(ledger, job)
    assert begin(ledger, other, "w2/1") == Conflict()
    finish(ledger, job, "w1/1", outcome=outcome(job))
    assert begin(ledger, other, "w2/1") == Conflict()


def test_a_held_job_is_left_alone(ledger: Ledger) -> None:
    """Two deliveries of one job: the second one learns who holds it."""
    job = make_job()
    gone(ledger, job, "w1/1")
    assert begin(ledger, job, "w2/1") == Held("w1/1")
    assert begin(ledger, job, "w2/1", dead_owner="somebody/else") == Held("w1/1")


def test_a_dead_workers_attempt_has_an_unknown_fate(ledger: Ledger) -> None:
    """Whoever takes over learns what may have been sent."""
    job = make_job()
    gone(ledger, job, "w1/1")
    claim = gone(ledger, job, "w2/1", dead_owner="w1/1").claim
    assert [a.outcome for a in claim.history] == ["unknown"]
    assert (claim.sent, claim.losses) == (2, 1)


def test_a_claim_that_was_never_sent_leaves_no_attempt(ledger: Ledger) -> None:
    """A worker lost before the request was allowed has sent nothing."""
    job = make_job()
    assert isinstance(begin(ledger, job, "w1/1", purpose="claim"), Claimed)
    claim = gone(ledger, job, "w2/1", dead_owner="w1/1").claim
    assert (claim.history, claim.sent, claim.losses) == ((), 1, 1)


def test_a_job_that_too_many_workers_were_lost_with_is_not_sent(ledger: Ledger) -> None:
    """Poison is claimed, so that it can be given up, and goes nowhere."""
    job = make_job()
    gone(ledger, job, "w1/1")
    gone(ledger, job, "w2/1", dead_owner="w1/1")
    begun = begin(ledger, job, "w3/1", dead_owner="w2/1")
    assert isinstance(begun, Claimed)
    assert begun.claim.losses == 2


def test_an_unknown_attempt_is_not_repeated_where_that_is_forbidden(store: Redis) -> None:
    """unknown_outcome = in_doubt holds after the loss of a worker as well."""
    careful = Ledger(
        store, dedupe_seconds=60, flight_seconds=35, max_losses=9, repeat_unknown=False
    )
    job = make_job()
    gone(careful, job, "w1/1")
    assert isinstance(begin(careful, job, "w2/1", dead_owner="w1/1"), Claimed)


def test_attempts_are_remembered_in_order(ledger: Ledger) -> None:
    """The history survives the worker that wrote it."""
    job = make_job()
    for number, kind in enumerate(("not_sent", "throttled", "unknown"), start=1):
        assert gone(ledger, job, f"w/{number}").claim.sent == number
        ledger.release(job, f"w/{number}", attempts=[attempt(kind)])
    claim = gone(ledger, job, "w/4").claim
    assert [a.outcome for a in claim.history] == ["not_sent", "throttled", "unknown"]


def test_a_job_to_be_looked_for_is_claimed_but_not_sent(ledger: Ledger) -> None:
    """Until an operator enqueues it again: another request could open a second conversation."""
    job = make_job()
    gone(ledger, job, "w1/1")
    ledger.release(job, "w1/1", attempts=[attempt("unknown"), attempt("unresolved")])
    begun = begin(ledger, job, "w1/2")
    assert isinstance(begun, Claimed)
    assert [a.outcome for a in begun.claim.history] == ["unknown", "unresolved"]
    ledger.release(job, "w1/2", attempts=[attempt("replayed")])
    gone(ledger, job, "w1/3")


def test_a_job_that_was_abandoned_counts_as_lost(ledger: Ledger) -> None:
    """After an error of our own it is taken at once, and what it sent has an unknown fate."""
    job = make_job()
    gone(ledger, job, "w1/1")
    ledger.abandon(job, "w1/1")
    ledger.close(seconds=5)
    claim = gone(ledger, job, "w1/2").claim
    assert ([a.outcome for a in claim.history], claim.losses) == (["unknown"], 1)


def test_nobody_abandons_the_claim_of_another(ledger: Ledger) -> None:
    """The delivery that took over goes on."""
    job = make_job()
    gone(ledger, job, "w1/1")
    gone(ledger, job, "w2/1", dead_owner="w1/1")
    ledger.abandon(job, "w1/1")
    ledger.close(seconds=5)
    assert begin(ledger, job, "w3/1") == Held("w2/1")


def test_it_is_known_what_a_conversation_was_opened_with(ledger: Ledger) -> None:
    """Whoever reuses it has to send the same client properties."""
    assert ledger.opened_with(ACCOUNT, "conversation-1") is None
    for number, properties in enumerate(({"type": "x"}, None), start=1):
        job = make_job(number)
        gone(ledger, job)
        body = json.dumps({"clientProperties": properties} if properties else {})
        conversation_id = f"conversation-{number}"
        done = replace(outcome(job, body), created_id=conversation_id)
        finish(ledger, job, "w1/1", outcome=done)
        assert ledger.opened_with(ACCOUNT, conversation_id) == properties


def test_a_visit_is_kept_whatever_becomes_of_the_attempt(ledger: Ledger) -> None:
    """Monitoring is to know the consumer again, also if no permit was to be had."""
    job = make_job()
    assert isinstance(begin(ledger, job, "w1/1", purpose="claim", visit="seen"), Claimed)
    assert gone(ledger, job, "w1/1").claim.visit == "seen"


def test_a_visit_is_kept_for_the_consumers_next_job(ledger: Ledger, store: Redis) -> None:
    """Too many new sessions are refused; a job that names a visitor, or asks nothing, has none."""
    job = make_job(engagement={})
    assert isinstance(begin(ledger, job, "w1/1", purpose="claim", visit="seen"), Claimed)
    gone(ledger, job)
    finish(ledger, job, "w1/1", outcome=outcome(job))
    engagements: list[tuple[dict[str, object], str]] = [
        ({"engagement": {}}, "seen"),
        ({"engagement": {"visitorId": "v"}}, ""),
        ({}, ""),
    ]
    for number, (fields, visit) in enumerate(engagements):
        following = make_job(10 + number, consumerId=job.consumer_id, **fields)
        begun = begin(ledger, following, "w1/2", purpose="claim")
        assert isinstance(begun, Claimed)
        assert begun.claim.visit == visit
    assert 0 < store.pttl(Keys(ACCOUNT).visit(job.consumer_id)) <= 86_400_000


def test_a_job_without_an_outcome_outlives_its_pauses(store: Redis) -> None:
    """However soon a finished job is forgotten: its attempts keep it from being misread."""
    forgetful = Ledger(
        store, dedupe_seconds=1, flight_seconds=35, max_losses=9, repeat_unknown=True
    )
    job = make_job()
    gone(forgetful, job)
    for key in (Keys(ACCOUNT).job(job.job_id), Keys(ACCOUNT).consumer(job.consumer_id)):
        assert int(str(store.ttl(key))) > 86_400


def test_one_consumer_has_one_create_at_a_time(ledger: Ledger) -> None:
    """Another job of the consumer waits in the broker, until the first one has ended."""
    first, second = make_job(1, consumerId="same"), make_job(2, consumerId="same")
    gone(ledger, first, "w1/1")
    begun = begin(ledger, second, "w1/2")
    assert isinstance(begun, Defer)
    assert begun.why == "consumer"
    finish(ledger, first, "w1/1", outcome=outcome(first))
    gone(ledger, second, "w2/7")


def test_a_consumer_stays_locked_while_an_attempt_is_unknown(ledger: Ledger) -> None:
    """What may have opened a conversation keeps others from misreading it."""
    first, second = make_job(1, consumerId="same"), make_job(2, consumerId="same")
    gone(ledger, first, "w1/1")
    ledger.release(first, "w1/1", attempts=[attempt("unknown")])
    assert isinstance(begin(ledger, second, "w1/2"), Defer)
    gone(ledger, first, "w1/3")
    ledger.release(first, "w1/3")  # as a worker does that stops
    assert isinstance(begin(ledger, second, "w1/4"), Defer)
    gone(ledger, first, "w1/5")
    finish(ledger, first, "w1/5", outcome=outcome(first))
    gone(ledger, second, "w1/6")


def test_a_delivery_that_lost_its_claim_changes_nothing(ledger: Ledger) -> None:
    """After a takeover the first one's failure does not count."""
    job = make_job()
    gone(ledger, job, "w1/1")
    gone(ledger, job, "w2/1", dead_owner="w1/1")
    assert ledger.release(job, "w1/1", attempts=[attempt("not_sent")]) == Lost()
    assert finish(ledger, job, "w1/1", outcome=outcome(job, count="failed:rejected")) == Lost()
    assert begin(ledger, job, "w3/1") == Held("w2/1")


def test_an_id_that_was_read_counts_whoever_read_it(ledger: Ledger) -> None:
    """A conversation's id is never thrown away, also by a worker thought dead."""
    job = make_job()
    gone(ledger, job, "w1/1")
    gone(ledger, job, "w2/1", dead_owner="w1/1")
    assert finish(ledger, job, "w1/1", outcome=outcome(job, "first")) == Recorded(
        outcome(job, "first")
    )
    late = finish(ledger, job, "w2/1", outcome=outcome(job, "second"))
    assert isinstance(late, Recorded)
    assert late.outcome.body == b"first"


def test_cancelled_jobs_are_claimed_but_not_sent(ledger: Ledger, store: Redis) -> None:
    """Also one that was cancelled before any worker saw it."""
    job = make_job()
    cancel(store, ACCOUNT, job.job_id)
    assert isinstance(begin(ledger, job), Cancelled)


def test_outcomes_are_counted_by_kind(ledger: Ledger, store: Redis) -> None:
    """The counters that `overture status` shows."""
    for number, kind in enumerate(("created", "created", "failed:rejected"), start=1):
        job = make_job(number)
        gone(ledger, job, f"w/{number}")
        finish(ledger, job, f"w/{number}", outcome=outcome(job, count=kind))
    assert store.hgetall(Keys(ACCOUNT).counts) == {b"created": b"2", b"failed:rejected": b"1"}


def test_finished_jobs_are_forgotten_in_time(ledger: Ledger, store: Redis) -> None:
    """The record lives as long as the settings say, and no field of the work is left in it."""
    job = make_job()
    gone(ledger, job)
    finish(ledger, job, "w1/1", outcome=outcome(job))
    key = Keys(ACCOUNT).job(job.job_id)
    assert 3590 < int(str(store.ttl(key))) <= 3600
    assert set(recorded_fields(store, job.job_id)) == {
        "digest",
        "state",
        "seen",
        "routing_key",
        "outcome",
    }


def test_requests_in_flight_stay_below_the_cap(ledger: Ledger) -> None:
    """The third waits until one of the two has ended, however it ended."""
    tight = Ceiling(rate=1e6, in_flight=2)
    jobs = [make_job(number) for number in range(4)]
    assert isinstance(begin(ledger, jobs[0], "w/0", ceiling=tight), Go)
    assert isinstance(begin(ledger, jobs[1], "w/1", ceiling=tight), Go)
    third = begin(ledger, jobs[2], "w/2", ceiling=tight)
    assert isinstance(third, Wait)
    assert third.why == "in_flight"
    ledger.release(jobs[0], "w/0", attempts=[attempt("not_sent")])
    assert isinstance(begin(ledger, jobs[2], "w/2", ceiling=tight), Go)


def test_a_dead_workers_place_in_flight_is_free_again(ledger: Ledger) -> None:
    """Whoever takes its job over does not wait until its call would have been over."""
    tight = Ceiling(rate=1e6, in_flight=1)
    job, other = make_job(1), make_job(2)
    assert isinstance(begin(ledger, job, "w1/1", ceiling=tight), Go)
    assert isinstance(begin(ledger, other, "w2/1", ceiling=tight), Wait)
    assert isinstance(begin(ledger, job, "w2/2", ceiling=tight, dead_owner="w1/1"), Go)


def test_thirty_threads_get_one_go(ledger: Ledger) -> None:
    """Claiming is atomic."""
    job, found = make_job(), []
    start = threading.Barrier(30)

    def work(number: int) -> None:
        start.wait()
        found.append(type(begin(ledger, job, f"w{number}/1")).__name__)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(found) == {"Go": 1, "Held": 29}


def test_the_history_is_what_dead_letters_show(ledger: Ledger, store: Redis) -> None:
    """The record holds attempts in the shape of the messages."""
    job = make_job()
    gone(ledger, job)
    ledger.release(job, "w1/1", attempts=[Attempt(at=AT, http_status=503, outcome="unknown")])
    history = recorded_fields(store, job.job_id)["history"]
    assert json.loads(history) == {"at": AT, "httpStatus": 503, "outcome": "unknown"}


def test_an_outcome_that_cannot_be_written_down_sends_the_job_back(
    ledger: Ledger, store: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Foreign data under a key: the message is not kept for ever, nor its request forgotten."""
    monkeypatch.setattr("tasks.store.batches.OWN_REPEATS", 1)
    monkeypatch.setattr("tasks.store.batches.REPEAT_SECONDS", 0.01)
    job = make_job()
    gone(ledger, job)
    store.set(Keys(ACCOUNT).in_flight, "foreign")
    assert finish(ledger, job, "w1/1", outcome=outcome(job)) == Lost()
    store.delete(Keys(ACCOUNT).in_flight)
    claim = gone(ledger, job, "w2/1").claim
    assert [attempt.outcome for attempt in claim.history] == ["unknown"]
