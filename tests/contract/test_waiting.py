"""What became of submitted jobs, as the ledger has it."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest
from redis import Redis

from config.names import CREATED_KEY, FAILED_KEY
from console.admin.records import cancel, read_record
from console.admin.wait import Sent, Submitted, wait_for_outcomes, with_outcomes_before
from tasks.messages.job import Job
from tasks.messages.outcome import Outcome
from tasks.store.answers import Cancelled
from tasks.store.connection import Keys
from tasks.store.ledger import Ceiling, Ledger
from tests.finishing import finish
from tests.jobs import ACCOUNT, make_job
from tests.memory_store import ON_EITHER_STORE

pytestmark = ON_EITHER_STORE

WIDE = Ceiling(rate=1e6, in_flight=1000)


@pytest.fixture
def ledger(store: Redis) -> Ledger:
    """Give a ledger that remembers what is finished for an hour."""
    return Ledger(store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True)


def sent(job: Job) -> Sent:
    return Sent(job.account_id, job.job_id, job.digest)


def done(ledger: Ledger, job: Job, code: str = "") -> Sent:
    """Bring a job to its end."""
    ledger.begin(job, "w/1", ceiling=WIDE, purpose="claim", patience=100)
    outcome = Outcome(
        message_id=job.job_id,
        account_id=job.account_id,
        routing_key=FAILED_KEY if code else CREATED_KEY,
        body=b'{"error":{"code":"%s"}}' % code.encode(),
        counter=f"failed:{code}" if code else "created",
    )
    finish(ledger, job, "w/1", outcome=outcome)
    return sent(job)


def counted(store: Redis, jobs: list[Sent]) -> Counter[str]:
    with closing(Submitted()) as submitted:
        for job in jobs:
            submitted.add(job)
        return wait_for_outcomes(store, submitted, until=time.monotonic(), progress=lambda _: None)


def test_what_was_done_before_is_counted_apart(store: Redis, ledger: Ledger) -> None:
    """Nothing was opened for it this time."""
    before = [done(ledger, make_job(1)), done(ledger, make_job(2), "rejected")]
    jobs = with_outcomes_before(store, [*before, sent(make_job(3)), sent(make_job(4))])
    done(ledger, make_job(3))
    assert counted(store, jobs) == {
        "already:created": 1,
        "already:failed:rejected": 1,
        "created": 1,
        "waiting": 1,
    }


def test_a_job_with_the_id_of_another_is_a_conflict(store: Redis, ledger: Ledger) -> None:
    """Whatever the other one has come to: its outcome is not that of this job."""
    ledger.begin(make_job(2), "w/1", ceiling=WIDE, purpose="claim", patience=100)
    others = [done(ledger, make_job(1)), sent(make_job(2))]
    jobs = with_outcomes_before(store, [replace(one, digest="other") for one in others])
    assert counted(store, jobs) == {"failed:conflict": 2}


def test_a_job_that_waits_for_its_time_is_known(store: Redis, ledger: Ledger) -> None:
    """For longer than it waits; and it begins as any other."""
    job, days = make_job(1), 60
    ledger.note_wait(job, seconds=days * 86_400, waits_for="notBefore")
    record = read_record(store, ACCOUNT, job.job_id)
    assert record is not None
    assert (record.state, record.waits_for, record.sent) == ("waiting", "notBefore", 0)
    assert record.seen_at is not None
    assert record.next_attempt_at is not None
    assert record.next_attempt_at > record.seen_at
    assert store.ttl(Keys(ACCOUNT).job(job.job_id)) > days * 86_400 + 3600
    ledger.begin(job, "w/1", ceiling=WIDE, purpose="send", patience=100)
    ledger.note_wait(job, seconds=1, waits_for="notBefore")
    record = read_record(store, ACCOUNT, job.job_id)
    assert record is not None
    assert (record.state, record.waits_for) == ("sending", None)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_job_that_waits_for_its_time_stays_cancelled(
    store: Redis, ledger: Ledger, *, is_first: bool
) -> None:
    """Whether it was cancelled before a worker saw it or afterwards: however late it comes."""
    job = make_job(1)
    if is_first:
        cancel(store, ACCOUNT, job.job_id)
    ledger.note_wait(job, seconds=60, waits_for="notBefore")
    if not is_first:
        assert cancel(store, ACCOUNT, job.job_id) == "waiting"
    ledger.note_wait(job, seconds=60, waits_for="notBefore")
    assert store.ttl(Keys(ACCOUNT).job(job.job_id)) == -1
    begun = ledger.begin(job, "w/1", ceiling=WIDE, purpose="send", patience=100)
    assert isinstance(begun, Cancelled)
