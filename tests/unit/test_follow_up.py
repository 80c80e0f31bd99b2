"""What is written down of an attempt whose account is held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import pytest

from tasks.account import Account
from tasks.follow_up import FollowUp
from tasks.liveperson.answer import Answer, Kind
from tasks.liveperson.client import LivePersonClient
from tasks.liveperson.engagement import LookupFailed, Visit
from tasks.messages.receive import Work
from tasks.messages.result import Attempt
from tasks.prepare import Prepared
from tasks.retry import Again, Hold, LookUp
from tasks.shutdown import Shutdown
from tasks.step import PutOff, Turn
from tasks.store.answers import Claim, Defer
from tasks.store.ledger import Ceiling, Ledger
from tests.jobs import make_job

CAUSE = "Monitoring va.example: HTTP 401"
AT = "2026-01-01T00:00:00.000Z"


class FakeLedger:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.attempts: Sequence[Attempt] = ()
        self.told: dict[str, Any] = {}

    def release(self, _job: object, _owner: str, **told: Any) -> None:
        self.attempts, self.told = told["attempts"], told

    def put_off(self, _job: object, *, at_least: float, **_others: Any) -> Defer:
        return Defer(at_least, "credentials")


class RefusingClient:
    """Has its look-ups refused."""

    def find_open_conversation(self, _consumer_id: str, *, visit: Visit | None) -> NoReturn:
        refused = Answer(kind=Kind.CREDENTIALS, http_status=401, cause=CAUSE)
        raise LookupFailed(refused, visit or Visit())


def turn(answer: Answer | None, history: Sequence[Attempt] = (), *, alone: bool = False) -> Turn:
    """Make a turn that has come to its decision."""
    work = Work(
        job=make_job(),
        document={},
        owner="w/1",
        enqueued_at=None,
        not_before=None,
        expires_at=None,
    )
    claim = Claim(
        seen_at=datetime.now(UTC),
        history=tuple(history),
        sent=1,
        losses=0,
        visit="",
        alone=alone,
    )
    account = Account(
        client=cast("LivePersonClient", RefusingClient()), ceiling=Ceiling(rate=1, in_flight=1)
    )
    return Turn(
        work=work,
        account=account,
        claim=claim,
        at=AT,
        prepared=Prepared(visit=""),
        sent=answer is not None,
        answer=answer,
    )


@pytest.fixture
def ledger() -> FakeLedger:
    """Give a ledger."""
    return FakeLedger()


@pytest.fixture
def follow_up(ledger: FakeLedger) -> FollowUp:
    """Give what is under test."""
    return FollowUp(cast("Ledger", ledger), Shutdown())


def told(ledger: FakeLedger) -> list[tuple[str, str, str]]:
    return [(one.outcome, one.cause, one.note) for one in ledger.attempts]


LOOK = LookUp(
    found="created",
    otherwise=Again(after=3, unresolved=True),
    unaskable=Again(after=3, unresolved=True),
)
OPEN = Answer(kind=Kind.ALREADY_OPEN, http_status=400, cause="open")


def test_a_look_up_that_is_refused_keeps_what_was_sent(
    ledger: FakeLedger, follow_up: FollowUp
) -> None:
    """An open conversation that is ours is not forgotten, and the look-up uses up no try."""
    step = follow_up.do(turn(OPEN), LOOK)
    assert step == PutOff(5, "credentials", CAUSE)
    assert told(ledger) == [("already_open", "open", ""), ("unresolved", CAUSE, "probe")]
    assert ledger.told["feedback"] == "ok"


def test_hours_of_refused_look_ups_are_one_attempt(ledger: FakeLedger, follow_up: FollowUp) -> None:
    """And hold the account."""
    before = [
        Attempt(at=AT, http_status=None, outcome="unknown"),
        Attempt(at=AT, http_status=401, outcome="unresolved", cause=CAUSE, note="probe"),
    ]
    follow_up.do(turn(None, before), LOOK)
    assert told(ledger) == []
    assert ledger.told["feedback"] == "credentials"


def test_a_look_up_that_is_refused_to_this_job_alone_counts(
    ledger: FakeLedger, follow_up: FollowUp
) -> None:
    """Others are accepted, so that it is not the account."""
    follow_up.do(turn(None, alone=True), LOOK)
    assert told(ledger) == [("unresolved", CAUSE, "")]


def test_refused_credentials_are_one_attempt(ledger: FakeLedger, follow_up: FollowUp) -> None:
    """The token's last refusal stands for the account's; the next one is no other."""
    refused = Answer(kind=Kind.UNAUTHORIZED, http_status=401, cause=CAUSE, stale_token="app")
    follow_up.do(turn(refused), Hold(renew="app"))
    assert told(ledger) == [("credentials", CAUSE, "")]
    assert ledger.told["feedback"] == "credentials"
    follow_up.do(turn(refused, ledger.attempts), Hold(renew="app"))
    assert told(ledger) == []
