"""The brake, on a real store and in memory: what is paused gets no permit, all else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis import Redis
from structlog.testing import capture_logs

from console.admin.records import cancel
from tasks.messages.job import Job
from tasks.store.answers import Cancelled, Claimed, Defer, Go, Wait
from tasks.store.brake import Brake, Scope, accounts_of, pause, pauses, resume
from tasks.store.connection import Keys
from tasks.store.ledger import Ceiling, Ledger, Purpose
from tasks.store.limits import read_standing
from tests.jobs import ACCOUNT, make_job
from tests.ledger_records import recorded_fields
from tests.memory_store import ON_EITHER_STORE

pytestmark = ON_EITHER_STORE

WIDE = Ceiling(rate=1e6, in_flight=1000)
OTHER = "87654321"
# How long a worker of one account lets its jobs wait in their slots, in seconds.
MAX_WAIT = 240.0
SCOPES = [
    pytest.param(None, None, id="everything"),
    pytest.param(ACCOUNT, None, id="account"),
    pytest.param(None, "spring", id="submission"),
    pytest.param(ACCOUNT, "spring", id="submission of an account"),
]
on_each_scope = pytest.mark.parametrize(("account", "submission"), SCOPES)


@pytest.fixture
def ledger(store: Redis) -> Ledger:
    """Give a ledger."""
    return Ledger(store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True)


def begin(
    ledger: Ledger, job: Job, purpose: Purpose = "send", *, owner: str = "w/1", patience: float = -1
) -> object:
    """Ask for a job, with no patience, if not told otherwise."""
    return ledger.begin(job, owner, ceiling=WIDE, purpose=purpose, patience=patience)


def stop(store: Redis, account: str | None = None, submission: str | None = None) -> None:
    """Pause it, as an operator called anna."""
    pause(store, Scope(account, submission), known=[ACCOUNT], by="anna@host")


def go_on(store: Redis, account: str | None = None, submission: str | None = None) -> bool:
    """Resume it."""
    return resume(store, Scope(account, submission), known=[ACCOUNT])


@on_each_scope
@pytest.mark.parametrize("purpose", ["send", "prepare", "fail"])
def test_what_is_paused_waits(
    ledger: Ledger, store: Redis, account: str | None, submission: str | None, purpose: Purpose
) -> None:
    """Nobody has it meanwhile, and it is no attempt; then it goes on."""
    job = make_job(submissionId="spring")
    stop(store, account, submission)
    begun = begin(ledger, job, purpose)
    assert isinstance(begun, Defer), begun
    assert begun.why == "paused"
    assert "is paused since 2" in begun.cause
    assert begun.cause.endswith(" by anna@host")
    record = recorded_fields(store, job.job_id)
    assert (record["state"], record["waits_for"]) == ("waiting", "paused")
    assert not {"owner", "sent", "sending"} & record.keys()
    assert store.zcard(Keys(ACCOUNT).in_flight) == 0
    assert go_on(store, account, submission)
    begun = begin(ledger, job)
    assert isinstance(begun, Go)
    assert (begun.claim.sent, begun.claim.history) == (1, ())


@on_each_scope
def test_only_where_all_wait_do_jobs_wait_in_their_slots(
    ledger: Ledger, store: Redis, account: str | None, submission: str | None
) -> None:
    """So that they go on within a second; a submission takes no slot from the others."""
    stop(store, account, submission)
    begun = begin(ledger, make_job(submissionId="spring"), patience=MAX_WAIT)
    if submission:
        assert isinstance(begun, Defer)
    else:
        assert isinstance(begun, Wait)
        assert (begun.seconds, begun.booked, begun.why) == (1, 0, "paused")


@on_each_scope
def test_what_is_not_paused_goes(
    ledger: Ledger, store: Redis, account: str | None, submission: str | None
) -> None:
    """Other accounts, other submissions, and jobs of none."""
    stop(store, account, submission)
    others = [replace(make_job(2, submissionId="spring"), account_id=OTHER)] if account else []
    others += [make_job(3, submissionId="spring2"), make_job(4)] if submission else []
    for job in others:
        assert isinstance(begin(ledger, job), Go)


def test_a_permit_that_nobody_heard_of_is_taken_back(ledger: Ledger, store: Redis) -> None:
    """Its worker asks again, so it has not sent anything: there is no attempt, and no lock."""
    job = make_job()
    assert isinstance(begin(ledger, job), Go)
    stop(store)
    assert isinstance(begin(ledger, job), Defer)
    assert store.zcard(Keys(ACCOUNT).in_flight) == 0
    assert isinstance(begin(ledger, make_job(2, consumerId=job.consumer_id), "claim"), Claimed)
    go_on(store)
    begun = begin(ledger, job, owner="w/2")
    assert isinstance(begun, Go)
    assert (begun.claim.sent, begun.claim.losses, begun.claim.history) == (1, 0, ())


def test_what_will_not_be_sent_does_not_wait(ledger: Ledger, store: Redis) -> None:
    """A job that was cancelled, and one that is claimed because it has expired."""
    stop(store)
    cancel(store, ACCOUNT, "job-1")
    assert isinstance(begin(ledger, make_job(1)), Cancelled)
    assert isinstance(begin(ledger, make_job(2), "claim"), Claimed)


def test_nobody_waits_behind_what_is_paused(ledger: Ledger, store: Redis) -> None:
    """It has a line of its own; in it they come back one by one."""
    slow = Ceiling(rate=0.5, in_flight=1)
    stop(store, None, "spring")
    waits = []
    for number in range(1, 4):
        job = make_job(number, submissionId="spring")
        begun = ledger.begin(job, f"w/{number}", ceiling=slow, purpose="send", patience=-1)
        assert isinstance(begun, Defer)
        waits.append(round(begun.seconds))
    assert waits == [16, 17, 18]
    assert isinstance(
        ledger.begin(make_job(4), "w/4", ceiling=slow, purpose="send", patience=9), Go
    )
    crowded = ledger.put_off(make_job(5), ceiling=slow, waits_for="crowded")
    assert (crowded.why, crowded.seconds < 3) == ("", True)
    paused = ledger.put_off(make_job(6, submissionId="spring"), ceiling=slow, waits_for="crowded")
    assert (paused.why, round(paused.seconds)) == ("paused", 19)


def test_each_pause_is_lifted_by_itself(ledger: Ledger, store: Redis) -> None:
    """Who paused first is named; what somebody else paused stays so."""
    stop(store)
    stop(store, ACCOUNT)
    stop(store, None, "spring")
    second = pause(store, Scope(), known=[ACCOUNT], by="ben@host")
    assert second.by == "anna@host"
    said = [one.sentence(ACCOUNT).split(" since ")[0] for one in pauses(store, ACCOUNT)]
    assert said == [
        "everything is paused",
        f"account {ACCOUNT} is paused",
        "submission spring is paused",
    ]
    job = make_job(submissionId="spring")
    for scope in ((None, None), (ACCOUNT, None)):
        assert go_on(store, *scope)
        assert not go_on(store, *scope)
        assert isinstance(begin(ledger, job), Defer)
    assert go_on(store, None, "spring")
    assert isinstance(begin(ledger, job), Go)


def test_an_account_that_begins_to_work_later_is_paused_with_everything(
    ledger: Ledger, store: Redis
) -> None:
    """Whoever paused could not know of it; its worker looks before it sends."""
    pause(store, Scope(), known=(), by="anna@host")
    brake = Brake(store, [ACCOUNT])
    assert brake.is_on(ACCOUNT, None)
    with capture_logs() as said:
        brake.look()
        brake.look()
        assert brake.is_on(ACCOUNT, None)
        assert accounts_of(store, ()) == [ACCOUNT]
        assert isinstance(begin(ledger, make_job()), Defer)
        resume(store, Scope(), known=())
        brake.look()
    assert not brake.is_on(ACCOUNT, None)
    events = [(one["event"], one["scope"], one["by"]) for one in said]
    assert events == [
        ("account.paused", "all", "anna@host"),
        ("account.resumed", "all", "anna@host"),
    ]
    assert isinstance(begin(ledger, make_job()), Go)


def test_the_standing_says_who_has_paused_what(store: Redis) -> None:
    """Before all else that may hold the account; a submission does not hold it."""
    stop(store, None, "spring")
    found = read_standing(store, ACCOUNT)
    assert (found.holds, [one.submission_id for one in found.pauses]) == ("", ["spring"])
    stop(store, ACCOUNT)
    found = read_standing(store, ACCOUNT)
    assert found.holds == "paused"
    assert found.cause is not None
    assert found.cause.startswith(f"account {ACCOUNT} is paused since 2")
    assert found.cause.endswith(" by anna@host")
