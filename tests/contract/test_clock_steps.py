"""The store's clock steps an hour: what a job waits for is no longer than before."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from tasks.messages.attempt import Attempt
from tasks.store.answers import Go
from tasks.store.ledger import Ceiling, Ledger
from tasks.store.limits import read_standing
from tests.jobs import ACCOUNT, make_job
from tests.store_clock import StoreClock

HOUR_SECONDS = 3600.0
STEPS = pytest.mark.parametrize("step", [-HOUR_SECONDS, HOUR_SECONDS], ids=["back", "forward"])
CEILING = Ceiling(rate=10, in_flight=1)
FLIGHT_SECONDS = 35.0


@pytest.fixture
def clock(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreClock:
    """Give the clock of every script."""
    return StoreClock(store, tmp_path, monkeypatch)


@pytest.fixture
def ledger(store: Redis, clock: StoreClock) -> Ledger:
    """Give a ledger that goes by that clock."""
    del clock
    return Ledger(
        store,
        dedupe_seconds=3600,
        flight_seconds=FLIGHT_SECONDS,
        max_losses=1,
        repeat_unknown=True,
    )


def begin(ledger: Ledger, number: int, *, ceiling: Ceiling = CEILING) -> object:
    """Ask to send a job."""
    return ledger.begin(
        make_job(number), f"w/{number}", ceiling=ceiling, purpose="send", booked=0, patience=2
    )


@STEPS
@pytest.mark.parametrize("feedback", ["ok", "throttled", "failed"])
def test_the_pace_goes_on_after_a_step(
    ledger: Ledger, clock: StoreClock, store: Redis, step: float, feedback: str
) -> None:
    """Slots, pauses and what was learned are of no other hour."""
    for number in range(5):
        clock.advance(0.2)
        assert isinstance(begin(ledger, number), Go)
        ledger.release(
            make_job(number),
            f"w/{number}",
            attempts=[Attempt(at="2026-11-23T10:00:00.000Z", http_status=None, outcome="x")],
            feedback=feedback if number == 4 else "ok",  # type: ignore[arg-type]
            retry_after=1,
        )
    clock.advance(step)
    begun = begin(ledger, 5)
    for _ in range(30):
        if isinstance(begun, Go):
            break
        clock.advance(0.1)
        begun = begin(ledger, 5)
    assert isinstance(begun, Go), begun
    ledger.release(make_job(5), "w/5", feedback="ok")
    assert read_standing(store, ACCOUNT).accepted < 10
