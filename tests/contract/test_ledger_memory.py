"""What the ledger keeps, for how long, and what it does without: by a clock of the tests' own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from console.admin.records import cancel, read_record, reopen
from tasks.messages.attempt import Attempt
from tasks.messages.job import Job
from tasks.messages.outcome import Outcome
from tasks.store.answers import Cancelled, Claimed, Conflict, Defer, Go, Held, Recorded
from tasks.store.connection import Keys
from tasks.store.ledger import CLAIM_SECONDS, OPEN_SECONDS, Ceiling, Feedback, Ledger
from tests.finishing import finish
from tests.jobs import ACCOUNT, make_job
from tests.memory_store import ON_EITHER_STORE
from tests.store_clock import StoreClock

pytestmark = ON_EITHER_STORE

DEDUPE_SECONDS = 600.0
FLIGHT_SECONDS = 35.0
HOUR_SECONDS = 3600.0
DAY_SECONDS = 86_400.0
CEILING = Ceiling(rate=1e7, in_flight=3)
UNKNOWN = Attempt(at="2026-11-23T10:00:00.000Z", http_status=None, outcome="unknown")
KNOWN = replace(UNKNOWN, http_status=503, outcome="not_sent")
STEPS = pytest.mark.parametrize("step", [-HOUR_SECONDS, HOUR_SECONDS], ids=["back", "forward"])


@pytest.fixture
def clock(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreClock:
    """Give the clock of every script."""
    return StoreClock(store, tmp_path, monkeypatch)


@pytest.fixture
def ledger(store: Redis, clock: StoreClock) -> Ledger:
    """Give a ledger that forgets finished jobs soon."""
    del clock
    return Ledger(
        store,
        dedupe_seconds=DEDUPE_SECONDS,
        flight_seconds=FLIGHT_SECONDS,
        max_losses=9,
        repeat_unknown=True,
    )


def begin(ledger: Ledger, job: Job, owner: str = "w/1", *, dead_owner: str = "") -> object:
    return ledger.begin(
        job, owner, ceiling=CEILING, purpose="send", dead_owner=dead_owner, patience=100
    )


def gone(ledger: Ledger, job: Job, owner: str = "w/1", *, dead_owner: str = "") -> Go:
    begun = begin(ledger, job, owner, dead_owner=dead_owner)
    assert isinstance(begun, Go), begun
    return begun


def outcome(job: Job, count: str = "created", created_id: str = "") -> Outcome:
    return Outcome(
        message_id=job.job_id,
        account_id=job.account_id,
        routing_key="conversation.created",
        body=b"mine",
        counter=count,
        created_id=created_id,
    )


def ttl(store: Redis, job: Job) -> float:
    return int(str(store.pttl(Keys(ACCOUNT).job(job.job_id)))) / 1000


def test_a_cancelled_job_stays_so_until_its_message_comes(ledger: Ledger, store: Redis) -> None:
    """Whatever its notBefore is: nobody knows of it before a worker has seen the job."""
    job = make_job()
    assert cancel(store, ACCOUNT, job.job_id) == ""
    assert store.ttl(Keys(ACCOUNT).job(job.job_id)) == -1
    assert isinstance(begin(ledger, job), Cancelled)
    assert store.ttl(Keys(ACCOUNT).job(job.job_id)) == -1
    finish(ledger, job, "w/1", outcome=outcome(job, "failed:cancelled"))
    assert 0 < ttl(store, job) <= DEDUPE_SECONDS


def test_a_job_cancelled_between_attempts_stays_so(ledger: Ledger, store: Redis) -> None:
    """Also while it is under way."""
    job = make_job()
    gone(ledger, job)
    assert cancel(store, ACCOUNT, job.job_id) == "sending"
    ledger.release(job, "w/1", attempts=[KNOWN], due=DAY_SECONDS)
    assert store.ttl(Keys(ACCOUNT).job(job.job_id)) == -1
    assert isinstance(begin(ledger, job), Cancelled)


def test_attempts_are_remembered_beyond_the_pause(ledger: Ledger, store: Redis) -> None:
    """However long the schedule has the job wait; one of unknown fate for a year."""
    known, unknown = make_job(1), make_job(2)
    for job, attempt in ((known, KNOWN), (unknown, UNKNOWN)):
        gone(ledger, job, f"w/{job.job_id}")
        assert ttl(store, job) > 365 * DAY_SECONDS
        ledger.release(job, f"w/{job.job_id}", attempts=[attempt], due=30 * DAY_SECONDS)
    assert OPEN_SECONDS < ttl(store, known) - 29 * DAY_SECONDS < OPEN_SECONDS + 2 * DAY_SECONDS
    assert ttl(store, unknown) > 365 * DAY_SECONDS


def test_a_replayed_job_remembers_what_was_sent(store: Redis, ledger: Ledger) -> None:
    """Its message may wait longer in the broker than finished jobs are remembered."""
    job = make_job()
    letter = {"error": {"code": "in_doubt", "attempts": [UNKNOWN.to_dict()]}}
    assert reopen(store, ACCOUNT, job.job_id, letter=letter, seconds=DEDUPE_SECONDS)
    assert ttl(store, job) > 365 * DAY_SECONDS
    assert [a.outcome for a in gone(ledger, job).claim.history] == ["unknown", "replayed"]


@pytest.mark.parametrize("feedback", ["", "ok", "failed", "throttled"])
@pytest.mark.parametrize("count", ["created", "failed:rejected"])
def test_an_outcome_is_recorded_in_an_emptied_store(
    ledger: Ledger, store: Redis, clock: StoreClock, count: str, feedback: Feedback
) -> None:
    """With all that a later delivery needs; no other job has to begin first."""
    job = make_job()
    gone(ledger, job)
    store.flushall()
    clock.advance(0)
    ended = outcome(job, count)
    assert finish(ledger, job, "w/1", outcome=ended, feedback=feedback) == Recorded(ended)
    assert isinstance(begin(ledger, job, "w/2"), Recorded)
    assert begin(ledger, make_job(1, consumerId="other"), "w/3") == Conflict()


@pytest.mark.parametrize("feedback", ["", "ok", "failed", "throttled"])
def test_attempts_are_recorded_in_an_emptied_store(
    ledger: Ledger, store: Redis, clock: StoreClock, feedback: Feedback
) -> None:
    """The earlier ones too: one of unknown fate must not be forgotten."""
    job, other = make_job(1, consumerId="same"), make_job(2, consumerId="same")
    gone(ledger, job)
    store.flushall()
    clock.advance(0)
    ended = ledger.release(job, "w/1", attempts=[KNOWN], earlier=[UNKNOWN], feedback=feedback)
    assert ended is None
    record = read_record(store, ACCOUNT, job.job_id)
    assert record is not None
    assert [a["outcome"] for a in record.attempts] == ["unknown", "not_sent"]
    assert record.state == "waiting"
    assert isinstance(begin(ledger, other, "w/2"), Defer)


def test_who_took_the_job_over_in_an_emptied_store_has_it(
    ledger: Ledger, store: Redis, clock: StoreClock
) -> None:
    """A failure of the first one does not count there, an id that it read does."""
    job = make_job()
    gone(ledger, job)
    store.flushall()
    clock.advance(0)
    gone(ledger, job, "w/2")
    late = outcome(job, created_id="conversation-1")
    assert finish(ledger, job, "w/1", outcome=late) == Recorded(late)
    assert isinstance(finish(ledger, job, "w/2", outcome=outcome(job, "failed:x")), Recorded)
    assert ledger.opener(ACCOUNT, "conversation-1") == job.job_id


class TestConsumersOfJobsThatNeverComeBack:
    """A job's message was purged after an attempt of unknown fate: its consumer goes on."""

    @pytest.fixture(autouse=True)
    def _held(self, ledger: Ledger, store: Redis, clock: StoreClock) -> None:
        self.ledger, self.store, self.clock = ledger, store, clock
        self.first, self.second = (make_job(number, consumerId="same") for number in (1, 2))
        gone(ledger, self.first)
        ledger.release(self.first, "w/1", attempts=[UNKNOWN], due=120)

    def test_another_job_waits_until_the_first_is_overdue(self) -> None:
        """It is told that what is open then may not be its own."""
        self.clock.advance(120 + 50)
        assert isinstance(begin(self.ledger, self.second, "w/2"), Defer)
        self.clock.advance(20)
        assert gone(self.ledger, self.second, "w/2").claim.is_doubted
        assert begin(self.ledger, self.first, "w/3") == Defer(2.0, "consumer")

    def test_it_may_come_back_yet(self) -> None:
        """Its own attempt puts no doubt on it; that of whoever came between does."""
        assert not gone(self.ledger, self.first, "w/2").claim.is_doubted
        self.ledger.release(self.first, "w/2", attempts=[UNKNOWN], due=1)
        self.clock.advance(62)
        gone(self.ledger, self.second, "w/3")
        self.ledger.release(self.second, "w/3", attempts=[UNKNOWN], due=1)
        self.clock.advance(62)
        assert gone(self.ledger, self.first, "w/4").claim.is_doubted

    def test_doubt_ends_with_the_job(self) -> None:
        """It found out what it had opened."""
        self.clock.advance(200)
        gone(self.ledger, self.second, "w/2")
        finish(self.ledger, self.second, "w/2", outcome=outcome(self.second))
        gone(self.ledger, self.first, "w/3")
        finish(self.ledger, self.first, "w/3", outcome=outcome(self.first))
        third = make_job(3, consumerId="same")
        assert not gone(self.ledger, third, "w/4").claim.is_doubted

    def test_a_job_given_up_in_doubt_leaves_doubt(self) -> None:
        """What it opened may be open still."""
        gone(self.ledger, self.first, "w/2")
        finish(self.ledger, self.first, "w/2", outcome=outcome(self.first, "failed:in_doubt"))
        assert gone(self.ledger, self.second, "w/3").claim.is_doubted

    def test_an_operator_frees_the_consumer_at_once(self) -> None:
        """By cancelling the job that will not come back."""
        assert isinstance(begin(self.ledger, self.second, "w/2"), Defer)
        assert cancel(self.store, ACCOUNT, self.first.job_id) == "waiting"
        assert gone(self.ledger, self.second, "w/2").claim.is_doubted
        assert isinstance(begin(self.ledger, self.first, "w/3"), Cancelled)

    def test_a_worker_that_died_sending_is_waited_for_as_well(self) -> None:
        """For as long as a call takes, and then no longer than for others."""
        gone(self.ledger, self.first, "w/2")
        assert isinstance(begin(self.ledger, self.second, "w/3"), Defer)
        self.clock.advance(FLIGHT_SECONDS + 70)
        assert gone(self.ledger, self.second, "w/3").claim.is_doubted

    def test_a_clock_that_is_set_back_makes_nobody_wait_longer(self) -> None:
        """What was left of the wait begins anew."""
        self.clock.advance(-HOUR_SECONDS)
        assert isinstance(begin(self.ledger, self.second, "w/2"), Defer)
        self.clock.advance(120 + 50)
        assert isinstance(begin(self.ledger, self.second, "w/2"), Defer)
        self.clock.advance(20)
        gone(self.ledger, self.second, "w/2")

    def test_other_consumers_have_no_part_in_it(self) -> None:
        """Neither of the lock nor of the doubt."""
        other = make_job(3, consumerId="another")
        assert not gone(self.ledger, other, "w/3").claim.is_doubted


def test_a_claim_lasts_no_longer_for_a_clock_that_was_set_back(
    ledger: Ledger, clock: StoreClock
) -> None:
    """Nor does it end at once, since its worker may live."""
    job = make_job()
    gone(ledger, job, "w/1")
    clock.advance(-HOUR_SECONDS)
    assert begin(ledger, job, "other/1") == Held("w/1")
    clock.advance(CLAIM_SECONDS - 1)
    assert begin(ledger, job, "other/1") == Held("w/1")
    clock.advance(2)
    assert [a.outcome for a in gone(ledger, job, "other/1").claim.history] == ["unknown"]


@STEPS
def test_permits_of_dead_workers_come_back_in_their_time(
    ledger: Ledger, clock: StoreClock, step: float
) -> None:
    """The cap is not held for an hour by requests that nobody makes."""
    for number in range(CEILING.in_flight):
        gone(ledger, make_job(number), f"dead/{number}")
    clock.advance(step)
    begin(ledger, make_job(8), "w/1")
    clock.advance(FLIGHT_SECONDS + 6)
    gone(ledger, make_job(9), "w/2")


def test_a_lock_written_before_it_held_times_is_kept(ledger: Ledger, store: Redis) -> None:
    """By a worker of an earlier version."""
    job = make_job()
    store.set(Keys(ACCOUNT).consumer(job.consumer_id), "another job")
    assert begin(ledger, job) == Defer(2.0, "consumer")
    store.set(Keys(ACCOUNT).consumer(job.consumer_id), job.job_id)
    assert isinstance(begin(ledger, job), Go | Claimed)
