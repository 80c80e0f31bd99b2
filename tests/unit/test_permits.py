"""Where a job waits for its permit: in its thread, in line, or in the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.permits import AHEAD_SECONDS
from tasks.steps import Record
from tasks.store.answers import Claimed, Defer, Go, Wait
from tasks.store.ledger import Ceiling
from tests.job_world import ALIVE, World, job_world
from tests.jobs import make_job
from tests.waiting import wait_until

Make = Callable[..., AbstractContextManager[World]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Give a maker of a world with such a ceiling, in which another job was just sent."""

    def made(**ceiling: float) -> AbstractContextManager[World]:
        limits = Ceiling(rate=ceiling.get("rate", 1e6), in_flight=int(ceiling.get("cap", 100)))
        return job_world(tmp_path, monkeypatch, ceiling=limits)

    return made


def begin_other(world: World) -> None:
    world.begin(make_job(2), f"{ALIVE}/2")


def test_a_reserved_moment_is_waited_for_in_the_thread(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At two calls a second the next one goes half a second later, and not before."""
    with make(rate=2) as world:
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            world.clock.advance(seconds)

        monkeypatch.setattr(world.shutdown, "sleep", sleep)
        begin_other(world)
        begun = world.rules.permits.begin(world.work(make_job()), world.account)
        assert isinstance(begun, Go)
        assert 0.3 < sum(slept) <= 0.5


def test_few_slots_are_booked_ahead(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads wait: a limit that falls applies to those that have no slot yet."""
    with make(rate=20) as world:
        begin_other(world)
        permits, over = world.rules.permits, threading.Event()
        monkeypatch.setattr(world.shutdown, "sleep", lambda _seconds: over.wait(10))
        threads = [
            threading.Thread(target=permits.begin, args=(world.work(make_job(n)), world.account))
            for n in range(3, 13)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(permits.waiting) == len(threads), "all wait")
        ceiling = world.account.ceiling
        next_slot = world.ledger.begin(
            make_job(99), f"{ALIVE}/99", ceiling=ceiling, purpose="send", patience=9, ahead=0
        )
        assert isinstance(next_slot, Wait)
        assert next_slot.seconds <= AHEAD_SECONDS + 2 / ceiling.rate
        monkeypatch.setattr(world.shutdown, "sleep", lambda _seconds: world.clock.advance(0.01))
        over.set()
        for thread in threads:
            thread.join()


def test_a_longer_wait_is_the_brokers(make: Make) -> None:
    """At one call in ten seconds nobody waits in a thread; the job is nobody's meanwhile."""
    with make(rate=0.1) as world:
        begin_other(world)
        begun = world.rules.permits.begin(world.work(make_job()), world.account)
        assert isinstance(begun, Defer)
        assert begun.why == "rate"
        assert begun.seconds >= 10
        assert world.field(make_job(), "owner") == ""


def test_a_request_that_ends_lets_the_next_one_go(make: Make) -> None:
    """While one is in flight, and one may be, the next job waits in line."""
    with make(cap=1) as world:
        begin_other(world)

        permits, waiting = world.rules.permits, list[int]()

        def end_other() -> None:
            waiting.append(len(permits.waiting))
            world.end(make_job(2), f"{ALIVE}/2")
            world.account.gate.freed()

        timer = threading.Timer(0.05, end_other)
        timer.start()
        begun = permits.begin(world.work(make_job()), world.account)
        timer.join()
        assert isinstance(begun, Go)
        assert [*waiting, len(permits.waiting)] == [1, 0]


def test_a_job_that_expires_in_line_is_claimed_without_a_permit(make: Make) -> None:
    """So that its dead letter says so; it is not sent."""
    with make(cap=1) as world:
        begin_other(world)
        soon = datetime.now(UTC) + timedelta(seconds=0.1)
        work = replace(world.work(make_job()), expires_at=soon)
        begun = world.rules.permits.begin(work, world.account)
        assert isinstance(begun, Claimed)
        step = world.try_once(work)
        assert isinstance(step, Record)
        assert step.outcome.counter == "failed:expired"
        assert world.live.calls == []


def test_the_thread_that_holds_a_job_asks_again_until_others_see_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose own pulse has stopped sends nothing, whatever the ledger said before."""
    with make() as world:
        seen = iter((False, False, True))
        asked: list[float] = []
        monkeypatch.setattr(world.pulse, "is_shown", lambda: next(seen))
        monkeypatch.setattr(world.shutdown, "sleep", asked.append)
        begun = world.rules.permits.begin(world.work(make_job()), world.account)
        assert isinstance(begun, Go)
        assert begun.claim.sent == 1
        assert len(asked) == 2
