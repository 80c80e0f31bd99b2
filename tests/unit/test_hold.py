"""What the log says of a hold, whatever order the threads come in."""

from __future__ import annotations

import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from tasks.account import Account, Hold
from tasks.store.ledger import Ceiling, Feedback


def test_a_permit_from_before_the_hold_does_not_end_it() -> None:
    """A thread that was let go earlier may be late to say so."""
    hold = Hold()
    early = time.monotonic()
    with capture_logs() as said:
        hold.begins("circuit", cause="HTTP 403", seconds=5, asked=time.monotonic())
        hold.ends(asked=early)
        hold.begins("circuit", cause="HTTP 403", seconds=5, asked=time.monotonic())
        hold.ends(asked=time.monotonic())
    assert [entry["event"] for entry in said] == ["account.held", "account.released"]


def test_a_test_that_passed_ends_the_hold_once_the_ledger_has_it() -> None:
    """Until then the ledger tells other threads that the account is held."""
    absent: Any = None
    account = Account(client=absent, ceiling=Ceiling(rate=1, in_flight=1))
    hold = account.hold
    with capture_logs() as said:
        hold.begins("credentials", cause="HTTP 401", seconds=5, asked=time.monotonic())
        passed, told = time.monotonic(), time.monotonic()
        hold.begins("credentials", cause="HTTP 401", seconds=5, asked=time.monotonic())
        account.recorded("ok", probing=True, asked=passed)
        hold.begins("credentials", cause="HTTP 401", seconds=5, asked=told)
    assert [entry["event"] for entry in said] == ["account.held", "account.released"]


@pytest.mark.parametrize("feedback", ["", "failed", "barred", "credentials"])
def test_a_test_that_failed_ends_no_hold(feedback: Feedback) -> None:
    """Nor does the answer to a job that was sent before the hold."""
    absent: Any = None
    account = Account(client=absent, ceiling=Ceiling(rate=1, in_flight=1))
    with capture_logs() as said:
        account.hold.begins("circuit", cause="HTTP 500", seconds=5, asked=time.monotonic())
        account.recorded(feedback, probing=True, asked=time.monotonic())
        account.recorded("ok", probing=False, asked=time.monotonic())
    assert [entry["event"] for entry in said] == ["account.held"]
