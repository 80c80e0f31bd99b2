"""What is written down of an attempt whose account is held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import pytest

from tasks.account import Account
from tasks.attempt import Rules, Try
from tasks.liveperson.answer import Answer, Kind
from tasks.liveperson.client import LivePersonClient
from tasks.liveperson.engagement import LookupFailed, Visit
from tasks.messages.attempt import Attempt
from tasks.messages.intake import Work
from tasks.retry import Again, Decision, Hold, LookUp, Policy
from tasks.steps import Later
from tasks.stopping import Shutdown
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


def act(
    ledger: FakeLedger,
    decision: Decision,
    answer: Answer | None,
    history: Sequence[Attempt] = (),
    *,
    alone: bool = False,
) -> object:
    """Have a try act upon its decision."""
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
    absent: Any = None
    rules = Rules(
        ledger=cast("Ledger", ledger),
        permits=absent,
        brake=absent,
        shutdown=Shutdown(),
        policy=Policy(schedule=(5,)),
        max_losses=1,
    )
    attempt = Try(work, account, rules)
    attempt._claim, attempt._at = claim, AT
    attempt._answer, attempt._is_sent = answer, answer is not None
    return attempt._act(decision)


@pytest.fixture
def ledger() -> FakeLedger:
    """Give a ledger."""
    return FakeLedger()


def told(ledger: FakeLedger) -> list[tuple[str, str, str]]:
    return [(one.outcome, one.cause, one.note) for one in ledger.attempts]


LOOK = LookUp(
    found="created",
    otherwise=Again(after=3, unresolved=True),
    unaskable=Again(after=3, unresolved=True),
)
OPEN = Answer(kind=Kind.ALREADY_OPEN, http_status=400, cause="open")


def test_a_look_up_that_is_refused_keeps_what_was_sent(ledger: FakeLedger) -> None:
    """An open conversation that is ours is not forgotten, and the look-up uses up no try."""
    step = act(ledger, LOOK, OPEN)
    assert step == Later(5, "credentials", CAUSE)
    assert told(ledger) == [("already_open", "open", ""), ("unresolved", CAUSE, "probe")]
    assert ledger.told["feedback"] == "ok"


def test_hours_of_refused_look_ups_are_one_attempt(ledger: FakeLedger) -> None:
    """And hold the account."""
    before = [
        Attempt(at=AT, http_status=None, outcome="unknown"),
        Attempt(at=AT, http_status=401, outcome="unresolved", cause=CAUSE, note="probe"),
    ]
    act(ledger, LOOK, None, before)
    assert told(ledger) == []
    assert ledger.told["feedback"] == "credentials"


def test_a_look_up_that_is_refused_to_this_job_alone_counts(ledger: FakeLedger) -> None:
    """Others are accepted, so that it is not the account."""
    act(ledger, LOOK, None, alone=True)
    assert told(ledger) == [("unresolved", CAUSE, "")]


def test_refused_credentials_are_one_attempt(ledger: FakeLedger) -> None:
    """The token's last refusal stands for the account's; the next one is no other."""
    refused = Answer(kind=Kind.UNAUTHORIZED, http_status=401, cause=CAUSE, stale_token="app")
    act(ledger, Hold(renew="app"), refused)
    assert told(ledger) == [("credentials", CAUSE, "")]
    assert ledger.told["feedback"] == "credentials"
    act(ledger, Hold(renew="app"), refused, ledger.attempts)
    assert told(ledger) == []
