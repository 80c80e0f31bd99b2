"""Records of the version before, which had a hash for each job: they count as any other."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from redis import Redis

from console.admin.records import accounts_with, cancel, read_record, reopen
from console.admin.wait import Sent, outcomes_of
from tasks.messages.job import Job
from tasks.messages.outcome import failed
from tasks.store.answers import Cancelled, Claimed, Conflict, Go, Held, Lost, Recorded
from tasks.store.connection import Keys
from tasks.store.ledger import Ceiling, Ledger
from tests.finishing import finish
from tests.jobs import ACCOUNT, job_document, make_job
from tests.ledger_records import recorded_fields
from tests.memory_store import ON_EITHER_STORE

pytestmark = ON_EITHER_STORE

KEYS = Keys(ACCOUNT)
WIDE = Ceiling(rate=1e6, in_flight=1000)
BODY = b'{"jobId":"job-1","status":"created","conversationId":"c-1"}'
UNKNOWN = '{"at":"2026-01-31T09:00:00.000Z","httpStatus":502,"outcome":"unknown"}'
DAY_SECONDS = 86_400
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


@pytest.fixture
def ledger(store: Redis) -> Ledger:
    """Give a ledger that repeats unknown outcomes and bears one lost worker."""
    return Ledger(store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True)


def begin(ledger: Ledger, job: Job, owner: str = "w2/1", **options: Any) -> object:
    return ledger.begin(job, owner, ceiling=WIDE, purpose="send", patience=100, **options)


def write_old(store: Redis, job: Job, **fields: object) -> None:
    """Write a record as the version before did."""
    key = KEYS.old_job(job.job_id)
    known: Any = {"digest": job.digest, "seen": "1700000000123.456", **fields}
    store.hset(key, mapping=known)
    store.expire(key, DAY_SECONDS)


def write_done(store: Redis, job: Job, **fields: object) -> None:
    write_old(
        store,
        job,
        **{"state": "published", "key": "conversation.created", "outcome": BODY, **fields},
    )


def test_a_finished_one_is_published_again(store: Redis, ledger: Ledger) -> None:
    """To the byte; and the same id with other content is a conflict."""
    job = make_job()
    write_done(store, job, trace=json.dumps(TRACE))
    begun = begin(ledger, job)
    assert isinstance(begun, Recorded)
    assert (begun.outcome.body, begun.outcome.trace) == (BODY, TRACE)
    assert begun.outcome.routing_key == "conversation.created"
    ledger.mark_published(ACCOUNT, job.job_id)
    assert begin(ledger, make_job(metadata={"a": 1})) == Conflict()
    assert isinstance(begin(ledger, job), Recorded)


def test_a_finished_one_is_shown(store: Redis) -> None:
    """By every command that looks at it; cancelling comes too late."""
    job, other = make_job(1), make_job(2)
    write_done(store, job)
    found = read_record(store, ACCOUNT, job.job_id)
    assert found is not None
    assert (found.state, found.outcome) == ("published", json.loads(BODY))
    assert found.seen_at == "2023-11-14T22:13:20.123Z"
    sent = [Sent(ACCOUNT, one.job_id, one.digest) for one in (job, other)]
    assert outcomes_of(store, sent) == ["created", ""]
    assert accounts_with(store, [ACCOUNT, "9"], job.job_id) == [ACCOUNT]
    assert cancel(store, ACCOUNT, job.job_id) == "published"


def test_what_was_sent_stays_known(store: Redis, ledger: Ledger) -> None:
    """An attempt of unknown fate is no reason for a second conversation."""
    job = make_job()
    write_old(store, job, state="waiting", history=UNKNOWN, sent="1", losses="0", visit="v")
    begun = begin(ledger, job)
    assert isinstance(begun, Go)
    assert [one.outcome for one in begun.claim.history] == ["unknown"]
    assert (begun.claim.sent, begun.claim.visit) == (2, "v")
    assert not store.exists(KEYS.old_job(job.job_id))
    assert recorded_fields(store, job.job_id)["state"] == "sending"
    assert store.ttl(KEYS.job(job.job_id)) > 365 * DAY_SECONDS


def test_one_that_is_being_sent_is_held(store: Redis, ledger: Ledger) -> None:
    """By the worker that has it; once that is lost, its attempt has an unknown fate."""
    job, lease = make_job(), (time.time() + 60) * 1000
    write_old(
        store,
        job,
        state="sending",
        owner="w1/1",
        lease=f"{lease:.3f}",
        sending="2026-01-31T09:00:00.000Z",
        sent="1",
        losses="0",
        history="",
        permit="1 1 0",
    )
    assert begin(ledger, job) == Held("w1/1")
    assert store.exists(KEYS.old_job(job.job_id))
    begun = begin(ledger, job, dead_owner="w1/1")
    assert isinstance(begun, Go)
    assert ([one.outcome for one in begun.claim.history], begun.claim.losses) == (["unknown"], 1)
    assert (
        finish(ledger, job, "w1/1", outcome=failed(job, {}, code="rejected", message="")) == Lost()
    )


def test_a_cancelled_one_stays_cancelled(store: Redis, ledger: Ledger) -> None:
    """Whether a worker has seen it or not."""
    seen, unseen = make_job(1), make_job(2)
    write_old(store, seen, state="waiting", cancelled="1")
    store.hset(KEYS.old_job(unseen.job_id), "cancelled", "1")
    for job in (seen, unseen):
        assert isinstance(begin(ledger, job), Cancelled)
        assert store.ttl(KEYS.job(job.job_id)) == -1


def test_one_that_waits_is_noted_and_cancelled(store: Redis, ledger: Ledger) -> None:
    """What it was noted with before is kept, and for how long."""
    job = make_job()
    write_old(store, job, state="waiting", history=UNKNOWN)
    ledger.note_wait(job, seconds=5, waits_for="notBefore")
    found = recorded_fields(store, job.job_id)
    assert (found["history"], found["waits_for"]) == (UNKNOWN, "notBefore")
    assert not store.exists(KEYS.old_job(job.job_id))
    other = make_job(2)
    write_old(store, other, state="waiting", history=UNKNOWN)
    assert cancel(store, ACCOUNT, other.job_id) == "waiting"
    assert recorded_fields(store, other.job_id)["history"] == UNKNOWN


def test_a_dead_letter_is_replayed(store: Redis, ledger: Ledger) -> None:
    """Its attempts stay known; another outcome than this letter stays as it is."""
    job = make_job()
    letter = failed(job, job_document(), code="retries_exhausted", message="no")
    write_done(store, job, key="conversation.failed", outcome=letter.body)
    document = json.loads(letter.body)
    assert not reopen(store, ACCOUNT, job.job_id, letter={**document, "failedAt": "x"}, seconds=60)
    assert reopen(store, ACCOUNT, job.job_id, letter=document, seconds=60)
    assert not store.exists(KEYS.old_job(job.job_id))
    begun = begin(ledger, job)
    assert isinstance(begun, Go | Claimed)
    assert [one.outcome for one in begun.claim.history] == ["replayed"]


def test_it_is_known_for_which_job_a_conversation_was_opened(store: Redis, ledger: Ledger) -> None:
    """And with what."""
    job = make_job()
    body = json.dumps({**json.loads(BODY), "clientProperties": {"appId": "shop"}})
    write_done(store, job, outcome=body)
    store.set(KEYS.old_conversation("c-1"), job.job_id)
    assert ledger.opener(ACCOUNT, "c-1") == job.job_id
    assert ledger.opened_with(ACCOUNT, "c-1") == {"appId": "shop"}
