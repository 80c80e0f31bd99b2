"""What the store counts of the jobs that share a submissionId, and what holds for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from console.admin.records import cancel, read_record, reopen
from tasks.messages.attempt import Attempt
from tasks.messages.job import Job
from tasks.messages.outcome import Outcome
from tasks.store.answers import Cancelled, Claimed, Conflict, Defer, Go
from tasks.store.connection import Keys, text
from tasks.store.ledger import Ceiling, Ledger, Purpose
from tests.finishing import finish
from tests.jobs import ACCOUNT, make_job
from tests.memory_store import ON_EITHER_STORE
from tests.store_clock import StoreClock

pytestmark = ON_EITHER_STORE

SPRING = "spring"
DEDUPE_SECONDS = 600.0
DAY_SECONDS = 86_400.0
WIDE = Ceiling(rate=1e6, in_flight=1000)
KEYS = Keys(ACCOUNT)
UNKNOWN = Attempt(at="2026-11-23T10:00:00.000Z", http_status=None, outcome="unknown")


@pytest.fixture
def clock(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreClock:
    """Give the clock of every script."""
    return StoreClock(store, tmp_path, monkeypatch)


@pytest.fixture
def ledger(store: Redis, clock: StoreClock) -> Ledger:
    """Give a ledger."""
    del clock
    return Ledger(
        store,
        dedupe_seconds=DEDUPE_SECONDS,
        flight_seconds=35,
        max_losses=9,
        repeat_unknown=True,
    )


def labelled(number: int = 1, **fields: Any) -> Job:
    return make_job(number, **{"submissionId": SPRING, **fields})


def begin(ledger: Ledger, job: Job, owner: str = "", *, purpose: Purpose = "send") -> object:
    return ledger.begin(
        job, owner or f"w/{job.job_id}", ceiling=WIDE, purpose=purpose, patience=100
    )


def end(ledger: Ledger, job: Job, count: str = "created") -> None:
    is_open = count in {"created", "reused"}
    finish(
        ledger,
        job,
        f"w/{job.job_id}",
        outcome=Outcome(
            message_id=job.job_id,
            account_id=job.account_id,
            routing_key="conversation.created" if is_open else "conversation.failed",
            body=b'{"error":{"code":"rejected","attempts":[]},"job":{"submissionId":"spring"}}',
            counter=count,
        ),
    )


def counts(store: Redis, name: str = SPRING) -> dict[str, int]:
    """Return what is counted, without the marks beside it."""
    found = store.hgetall(KEYS.tally(name)).items()
    marks = {b"begun", b"rate", b"pace", b"line", b"paced_at", b"cancelled"}
    return {text(key): int(value) for key, value in found if key not in marks}


def test_each_job_is_counted_once_as_seen_and_once_as_ended(ledger: Ledger, store: Redis) -> None:
    """However often it is tried, redelivered or put off; whoever enqueued it."""
    job, other = labelled(1), labelled(2)
    ledger.note_wait(job, seconds=60, waits_for="notBefore")
    ledger.put_off(job, ceiling=WIDE, waits_for="crowded")
    for _ in range(2):
        assert isinstance(begin(ledger, job), Go)
        ledger.release(job, f"w/{job.job_id}", attempts=[UNKNOWN], due=1)
    begin(ledger, other)
    assert counts(store) == {"jobs": 2}
    begin(ledger, job)
    for _ in range(2):
        end(ledger, job)
    begin(ledger, job)
    end(ledger, other, "failed:rejected")
    assert counts(store) == {"jobs": 2, "created": 1, "failed:rejected": 1}
    assert store.zrange(KEYS.submissions, 0, -1) == [SPRING.encode()]


def test_a_job_without_a_submission_costs_nothing(ledger: Ledger, store: Redis) -> None:
    """Nothing is kept for it beside its record."""
    job = make_job()
    ledger.note_wait(job, seconds=60, waits_for="notBefore")
    ledger.put_off(job, ceiling=WIDE, waits_for="crowded")
    begin(ledger, job)
    end(ledger, job)
    names = {name.decode() for name in store.scan_iter()}
    assert not {name for name in names if "tally" in name or "ended" in name}
    assert not store.exists(KEYS.submissions)


def test_ended_jobs_are_listed(ledger: Ledger, store: Redis) -> None:
    """For a report of jobs that no file on this machine names."""
    for number in range(3):
        begin(ledger, labelled(number))
        end(ledger, labelled(number))
    (name,) = store.scan_iter(match="*ended*")
    assert store.lrange(name.decode(), 0, -1) == [b"job-0", b"job-1", b"job-2"]
    assert 0 < store.ttl(name.decode()) <= DEDUPE_SECONDS + DAY_SECONDS


def test_a_conflict_is_an_end_of_its_own(ledger: Ledger, store: Redis) -> None:
    """It has no record, since that is the first job's."""
    begin(ledger, labelled(1))
    assert begin(ledger, labelled(1, consumerId="another"), "w/2") == Conflict()
    assert counts(store) == {"jobs": 2, "failed:conflict": 1}


def test_a_replayed_job_has_not_ended(ledger: Ledger, store: Redis) -> None:
    """Until it ends again."""
    job = labelled()
    begin(ledger, job)
    end(ledger, job, "failed:rejected")
    letter = {"error": {"code": "rejected", "attempts": []}, "job": {"submissionId": SPRING}}
    assert reopen(store, ACCOUNT, job.job_id, letter=letter, seconds=DEDUPE_SECONDS)
    assert counts(store) == {"jobs": 1, "failed:rejected": 0}
    begin(ledger, job)
    end(ledger, job)
    assert counts(store) == {"jobs": 1, "failed:rejected": 0, "created": 1}


def test_counts_go_when_the_ledger_forgets_the_jobs(
    ledger: Ledger, store: Redis, clock: StoreClock
) -> None:
    """Not while there is something going on; and not before a job that waits for its time."""
    begin(ledger, labelled(1))
    assert 6 * DAY_SECONDS < store.ttl(KEYS.tally(SPRING)) <= 7 * DAY_SECONDS
    ledger.note_wait(labelled(2), seconds=30 * DAY_SECONDS, waits_for="notBefore")
    assert store.ttl(KEYS.tally(SPRING)) > 30 * DAY_SECONDS
    end(ledger, labelled(1))
    assert store.ttl(KEYS.tally(SPRING)) > 30 * DAY_SECONDS
    clock.advance(40 * DAY_SECONDS)
    begin(ledger, labelled(3, submissionId="autumn"))
    assert store.zrange(KEYS.submissions, 0, -1) == [b"autumn"]


def test_a_cancelled_submission_ends_every_job_that_comes(ledger: Ledger, store: Redis) -> None:
    """Also one that was never seen, and one between its attempts; the mark stays for good."""
    begin(ledger, labelled(1))
    ledger.release(labelled(1), "w/job-1", due=1)
    store.hset(KEYS.tally(SPRING), "cancelled", 1)
    store.persist(KEYS.tally(SPRING))
    for number in (1, 2):
        assert isinstance(
            begin(ledger, labelled(number), purpose="send" if number == 1 else "claim"), Cancelled
        )
        end(ledger, labelled(number), "failed:cancelled")
    assert counts(store) == {"jobs": 2, "failed:cancelled": 2}
    assert store.ttl(KEYS.tally(SPRING)) == -1
    assert isinstance(begin(ledger, make_job(3)), Go)
    assert isinstance(begin(ledger, labelled(4, submissionId="autumn")), Go)


def test_a_cancelled_job_that_nobody_saw_is_counted(ledger: Ledger, store: Redis) -> None:
    """Its record is there already, with the mark alone."""
    cancel(store, ACCOUNT, "job-1")
    assert isinstance(begin(ledger, labelled(1)), Cancelled)
    end(ledger, labelled(1), "failed:cancelled")
    assert counts(store) == {"jobs": 1, "failed:cancelled": 1}


def test_what_was_lost_with_the_store_is_counted_anew(
    ledger: Ledger, store: Redis, clock: StoreClock
) -> None:
    """A job that ends in an emptied store was there."""
    begin(ledger, labelled(1))
    store.flushall()
    clock.advance(0)
    end(ledger, labelled(1))
    assert counts(store) == {"jobs": 1, "created": 1}
    assert store.zscore(KEYS.submissions, SPRING)


class TestPace:
    """A submission with a pace of its own: two a second."""

    @pytest.fixture(autouse=True)
    def _paced(self, ledger: Ledger, store: Redis, clock: StoreClock) -> None:
        self.ledger, self.store, self.clock = ledger, store, clock
        store.hset(KEYS.tally(SPRING), "rate", 2)
        # Each job with the time at which it comes, the first ones all at once.
        self.due = dict.fromkeys(range(40), 0.0)
        self.sent: list[float] = []
        self.rounds = 0

    def run(self, *, until: float, round_up: bool = False) -> None:
        """Have jobs come when they are due, on brokers that delay by the second or exactly."""
        start = self.clock.seconds()
        while self.due:
            at, number = min((at, number) for number, at in self.due.items())
            if at > until:
                return
            self.clock.advance(max(0.0, start + at - self.clock.seconds()))
            at = self.clock.seconds() - start
            self.rounds += 1
            match begin(self.ledger, labelled(number)):
                case Go():
                    del self.due[number]
                    self.sent.append(at)
                case Defer(seconds, "pace"):
                    self.due[number] = at + (float(int(seconds) + 1) if round_up else seconds)
                case other:
                    pytest.fail(f"{other}")

    @pytest.mark.parametrize("round_up", [False, True])
    def test_jobs_go_at_their_pace(self, *, round_up: bool) -> None:
        """Each comes back about once, however many there are; brokers delay by the second."""
        self.run(until=60, round_up=round_up)
        assert 17 <= self.sent[-1] - self.sent[0] <= 25
        for first, at in enumerate(self.sent):
            assert len([one for one in self.sent[first:] if one < at + 5]) <= 2 * 5 + 3
        assert self.rounds <= 3 * 40

    def test_nothing_bursts_after_a_standstill(self) -> None:
        """Jobs that all came late, since no worker ran, go at the pace all the same."""
        self.run(until=5)
        passed = len(self.sent)
        self.clock.advance(600)
        self.due = dict.fromkeys(self.due, 0.0)
        self.sent = []
        self.run(until=5)
        assert passed <= 13
        assert 8 <= len(self.sent) <= 13

    def test_a_clock_that_is_set_back_holds_nobody_up(self) -> None:
        """What is booked goes back with it."""
        self.run(until=2)
        self.clock.advance(-3600)
        self.due, self.sent = dict.fromkeys(self.due, 0.0), []
        self.run(until=60)
        assert not self.due

    def test_others_have_no_part_in_it(self) -> None:
        """Neither other submissions nor jobs without one."""
        for number in range(100, 120):
            assert isinstance(begin(self.ledger, make_job(number)), Go)
            job = labelled(number + 100, submissionId="autumn")
            assert isinstance(begin(self.ledger, job), Go | Claimed)

    def test_a_job_that_waits_long_is_remembered_for_longer(self) -> None:
        """And counted once."""
        self.store.hset(KEYS.tally(SPRING), "rate", 2e-6)
        for number in range(3):
            begin(self.ledger, labelled(number))
        record = read_record(self.store, ACCOUNT, "job-2")
        assert record is not None
        assert (record.state, record.waits_for) == ("waiting", "pace")
        assert self.store.ttl(KEYS.job("job-2")) > 11 * DAY_SECONDS
