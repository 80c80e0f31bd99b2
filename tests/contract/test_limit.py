"""The limiter's scripts on a real Valkey and in memory, by a clock of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from console.admin.records import read_record
from tasks.store.answers import Claim, Claimed, Defer, Go, Wait
from tasks.store.connection import Keys
from tasks.store.ledger import MAX_AHEAD_SECONDS, Ceiling, Feedback, Ledger
from tasks.store.limits import read_standing, reset_ceiling, set_ceiling
from tests.jobs import ACCOUNT, make_job
from tests.ledger_records import recorded_fields
from tests.memory_store import ON_EITHER_STORE
from tests.store_clock import StoreClock

pytestmark = ON_EITHER_STORE

FLIGHT_SECONDS = 35.0
MARGIN_SECONDS = 5.0


class Pool:
    """Any workers of one account; every question is about another job."""

    def __init__(self, store: Redis, clock: StoreClock) -> None:
        self.store, self.clock = store, clock
        self.ceiling = Ceiling(rate=1e7, in_flight=1000)
        self._ledger = Ledger(
            store,
            dedupe_seconds=3600,
            flight_seconds=FLIGHT_SECONDS,
            max_losses=9,
            repeat_unknown=True,
        )
        self.jobs = 0

    def ask(
        self,
        *,
        booked: float = 0,
        patience: float = 600,
        ahead: float = MAX_AHEAD_SECONDS,
        failing: bool = False,
    ) -> object:
        """Ask to send one more job."""
        self.jobs += 1
        return self._ledger.begin(
            make_job(self.jobs),
            f"w/{self.jobs}",
            ceiling=self.ceiling,
            purpose="fail" if failing else "send",
            booked=booked,
            patience=patience,
            ahead=ahead,
        )

    def go(self, *, booked: float = 0) -> int:
        """Send one more job, which may; returns its number."""
        begun = self.ask(booked=booked)
        assert isinstance(begun, Go), begun
        return self.jobs

    def wait(self) -> Wait:
        """Ask to send one more job, which has to wait."""
        begun = self.ask()
        assert isinstance(begun, Wait), begun
        return begun

    def again(self, number: int) -> Claim:
        """Send a job once more, which may."""
        begun = self._ledger.begin(
            make_job(number), f"w/{number}", ceiling=self.ceiling, purpose="send", patience=600
        )
        assert isinstance(begun, Go), begun
        return begun.claim

    def end(
        self,
        number: int,
        feedback: Feedback = "ok",
        *,
        retry_after: float = 0,
        cause: str = "",
        due: float = 0,
    ) -> None:
        """Tell what LivePerson answered."""
        self._ledger.release(
            make_job(number),
            f"w/{number}",
            feedback=feedback,
            retry_after=retry_after,
            cause=cause,
            due=due,
            waits_for="retry" if due else "",
        )

    def call(self, feedback: Feedback = "ok") -> None:
        """Send one more job and have it answered at once."""
        self.end(self.go(), feedback)

    def put_off(self, number: int) -> Defer:
        """Put off a job that nobody has a seat for."""
        return self._ledger.put_off(make_job(number), ceiling=self.ceiling, waits_for="crowded")

    def learned(self) -> int | None:
        """Return the rate that was learned, in whole calls a second."""
        rate = read_standing(self.store, ACCOUNT).learned_rate
        return None if rate is None else round(rate)


@pytest.fixture
def clock(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreClock:
    """Give the clock of every script."""
    return StoreClock(store, tmp_path, monkeypatch)


@pytest.fixture
def pool(store: Redis, clock: StoreClock) -> Pool:
    """Give a pool."""
    return Pool(store, clock)


def at_rate(pool: Pool, rate: float) -> None:
    pool.ceiling = Ceiling(rate=rate, in_flight=1000)


def test_slots_are_an_interval_apart(pool: Pool) -> None:
    """The first goes at once; the next ones are told when, a second ahead at most."""
    at_rate(pool, 10)
    pool.go()
    waits = [pool.wait() for _ in range(14)]
    times = [wait.booked for wait in waits if wait.booked]
    assert {round(later - earlier) for earlier, later in pairwise(times)} == {100}
    assert round(waits[0].seconds, 3) == 0.1
    assert [wait.booked for wait in waits[10:]] == [0, 0, 0, 0]
    assert {round(wait.seconds, 3) for wait in waits[10:]} == {1.1}


def test_a_thread_may_ask_for_a_near_slot_alone(pool: Pool) -> None:
    """Whoever does not stand in line: a lower limit is to take effect at once."""
    at_rate(pool, 10)
    pool.go()
    pool.ask(ahead=0.1)
    further = pool.ask(ahead=0.1)
    assert isinstance(further, Wait)
    assert (further.booked, round(further.seconds, 3)) == (0, 0.2)
    assert round(pool.wait().seconds, 3) == 0.2  # it took none


def test_a_booked_slot_is_honoured_when_it_is_due(pool: Pool) -> None:
    """Not earlier; and the thread that sleeps a little long does not lose it."""
    at_rate(pool, 10)
    pool.go()
    wait = pool.wait()
    pool.clock.advance(0.05)
    assert isinstance(pool.ask(booked=wait.booked), Wait)
    pool.clock.advance(0.05 + 0.04)
    pool.go(booked=wait.booked)


def test_what_was_slept_through_does_not_come_in_a_burst(pool: Pool) -> None:
    """Nine threads that all wake late find one slot, not nine."""
    at_rate(pool, 10)
    pool.go()
    waits = [pool.wait() for _ in range(9)]
    pool.clock.advance(2.0)
    answers = [pool.ask(booked=wait.booked) for wait in waits]
    assert [type(answer).__name__ for answer in answers] == ["Go", *["Wait"] * 8]


def test_a_quiet_time_allows_no_burst(pool: Pool) -> None:
    """Calls are spread evenly from the first one on."""
    at_rate(pool, 10)
    pool.go()
    pool.clock.advance(60)
    pool.go()
    assert round(pool.wait().seconds, 3) == 0.1


def test_a_small_delay_is_made_up_for(pool: Pool) -> None:
    """Else every late wake-up would cost a part of the limit."""
    at_rate(pool, 10)
    for _ in range(100):
        pool.go()
        pool.clock.advance(0.18)
        pool.go()
        pool.clock.advance(0.02)


def test_a_pool_begins_at_its_ceiling(pool: Pool) -> None:
    """It is what the operator allows; what LivePerson does is learned from there."""
    at_rate(pool, 900)
    pool.go()
    assert round(pool.wait().seconds, 4) == round(1 / 900, 4)


def test_an_operators_ceiling_holds_at_once(pool: Pool) -> None:
    """For whoever asks next, in any process; and until it is taken back."""
    at_rate(pool, 10)
    pool.go()
    set_ceiling(pool.store, ACCOUNT, rate=2, in_flight=2)
    pool.clock.advance(1)
    pool.go()
    assert pool.wait().why == "in_flight"
    pool.clock.advance(1)
    reset_ceiling(pool.store, ACCOUNT)
    pool.go()
    assert round(pool.wait().seconds, 3) == 0.1


def test_a_killed_workers_requests_come_back_when_they_must_be_over(pool: Pool) -> None:
    """Until then they count: LivePerson may still be at work on them."""
    pool.ceiling = Ceiling(rate=1e7, in_flight=2)
    pool.go()
    pool.clock.advance(1)
    pool.go()
    pool.clock.advance(FLIGHT_SECONDS + MARGIN_SECONDS - 1.1)
    assert pool.wait().why == "in_flight"
    pool.clock.advance(0.2)
    pool.go()
    assert pool.wait().why == "in_flight"


@pytest.mark.slow
def test_jobs_that_cannot_wait_come_back_one_by_one(pool: Pool) -> None:
    """Twice as fast as they can go, so that no slot waits for one; at most five minutes ahead."""
    at_rate(pool, 1)
    pool.go()
    answers = [pool.ask(patience=-1) for _ in range(700)]
    seconds = [round(answer.seconds, 3) for answer in answers if isinstance(answer, Defer)]
    assert (len(seconds), seconds[0], seconds[-1]) == (700, 1.5, 300)
    assert {later - earlier for earlier, later in pairwise(seconds[:500])} == {0.5}


def test_a_job_that_is_put_off_takes_no_slot(pool: Pool) -> None:
    """However many have to go back, the next one that stays gets the next slot."""
    at_rate(pool, 10)
    pool.go()
    for _ in range(50):
        assert isinstance(pool.ask(patience=-1), Defer)
    assert round(pool.wait().seconds, 3) == 0.1


def drive(pool: Pool, seconds: float, accepts: Callable[[int], bool]) -> None:
    """Call as often as the pace allows for so long; `accepts` is asked about each call in turn."""
    left, number = seconds, 0
    while left > 0:
        begun = pool.ask()
        if isinstance(begun, Wait):
            pool.clock.advance(begun.seconds)
            left -= begun.seconds
            begun = pool.ask(booked=begun.booked)
        if isinstance(begun, Go):
            number += 1
            pool.end(pool.jobs, "ok" if accepts(number) else "throttled")


def learn_of_five_a_second(pool: Pool) -> None:
    """Have a pool at 10/s find that only five are accepted, each a fifth of a second apart."""
    at_rate(pool, 10)
    full_at = 0.0

    def accepts(_: int) -> bool:
        nonlocal full_at
        now = pool.clock.seconds()
        accepted = now >= full_at
        full_at = now + 0.199 if accepted else full_at
        return accepted

    drive(pool, 22, accepts)


@pytest.mark.slow
def test_a_lone_refusal_costs_the_pool_nothing(pool: Pool) -> None:
    """One call in fifty is another application's: nobody pauses, and no pace changes."""
    at_rate(pool, 10)
    drive(pool, 30, lambda number: number % 50 != 0)
    standing = read_standing(pool.store, ACCOUNT)
    assert (standing.learned_rate, standing.learned_in_flight) == (None, None)
    assert pool.wait().seconds <= 0.1


@pytest.mark.slow
def test_a_share_of_refusals_lowers_the_pace_to_what_was_accepted(pool: Pool) -> None:
    """And says how far, and from what."""
    learn_of_five_a_second(pool)
    standing = read_standing(pool.store, ACCOUNT)
    assert standing.learned_rate is not None
    assert 4 <= standing.learned_rate <= 6
    assert standing.learned_at == 10
    assert standing.learned_from is not None
    assert 0.4 <= standing.learned_from <= 0.6


@pytest.mark.slow
def test_what_was_learned_is_forgotten_after_an_idle_time(pool: Pool) -> None:
    """Five minutes without a call: the limit may be any by then."""
    learn_of_five_a_second(pool)
    pool.clock.advance(290)
    assert pool.learned() == 5
    pool.clock.advance(15)
    pool.go()
    assert pool.learned() is None
    assert round(pool.wait().seconds, 3) == 0.1


@pytest.mark.slow
@pytest.mark.parametrize("step", [-3600.0, 200.0], ids=["back", "forward"])
def test_what_was_learned_outlives_a_step_of_the_clock(pool: Pool, step: float) -> None:
    """Neither is it held for an hour, nor is anything measured over the step."""
    learn_of_five_a_second(pool)
    pool.clock.advance(step)
    drive(pool, 2, lambda _: True)
    standing = read_standing(pool.store, ACCOUNT)
    assert standing.learned_rate is not None
    assert 4 <= standing.learned_rate <= 6
    assert (standing.try_in or 0) <= 24


@pytest.mark.slow
@pytest.mark.parametrize(("retry_after", "holds"), [(30, "pause"), (0, "rate")])
def test_the_pool_waits_for_retry_after_where_most_is_refused(
    pool: Pool, retry_after: float, holds: str
) -> None:
    """A Retry-After that comes with nearly every call says when the pace is worth trying again."""
    at_rate(pool, 10)
    for number in range(60):
        begun = pool.ask()
        if isinstance(begun, Wait):
            if begun.why == "pause":
                break
            pool.clock.advance(begun.seconds)
            begun = pool.ask(booked=begun.booked)
        feedback: Feedback = "ok" if number % 10 == 0 else "throttled"
        pool.end(pool.jobs, feedback, retry_after=retry_after)
    pool.ask()
    assert read_standing(pool.store, ACCOUNT).holds == holds


def fail(pool: Pool, times: int, *, every: float) -> None:
    """Have so many calls fail, one every so many seconds."""
    for _ in range(times):
        pool.clock.advance(every)
        pool.call("failed")


def test_an_account_that_only_fails_is_tried_by_one_job_at_a_time(pool: Pool) -> None:
    """The others wait; the pause grows with every try that fails."""
    fail(pool, 50, every=0.7)
    shut = pool.wait()
    assert (shut.why, round(shut.seconds)) == ("circuit", 5)
    for pause in (10, 20, 40, 60, 60):
        pool.clock.advance(pool.wait().seconds + 0.1)
        prober = pool.go()
        assert pool.wait().why == "circuit"
        pool.end(prober, "failed")
        assert round(pool.wait().seconds) == pause


@pytest.mark.parametrize("feedback", ["ok", "throttled"])
def test_an_answer_closes_the_circuit(pool: Pool, feedback: Feedback) -> None:
    """Any answer that was meant for the request, also a refusal."""
    fail(pool, 50, every=0.7)
    pool.clock.advance(6)
    pool.call(feedback)
    pool.clock.advance(1.1)
    pool.call()
    pool.call()
    assert read_standing(pool.store, ACCOUNT).holds == ""


def test_a_prober_that_is_killed_keeps_nobody_out_for_long(pool: Pool) -> None:
    """Its try ends when its call must be over."""
    fail(pool, 50, every=0.7)
    pool.clock.advance(6)
    pool.go()
    pool.clock.advance(FLIGHT_SECONDS + MARGIN_SECONDS - 1)
    assert round(pool.wait().seconds) == 1
    pool.clock.advance(1.1)
    pool.go()


def test_jobs_look_again_soon_while_one_tries(pool: Pool) -> None:
    """Its answer can come at any moment: nobody stays away for as long as its call may last."""
    pool.end(pool.go(), "credentials")
    pool.clock.advance(5.1)
    pool.go()
    shut = pool.ask()
    assert isinstance(shut, Defer)
    assert round(shut.seconds) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times", "every"), [(49, 10.0), (400, 0.07)], ids=["few failures", "a short outage"]
)
def test_what_jobs_own_retries_bridge_opens_nothing(pool: Pool, times: int, every: float) -> None:
    """Fewer than fifty failures in a row, or less than half a minute of them."""
    fail(pool, times, every=every)
    pool.clock.advance(0.1)
    pool.call()


@pytest.mark.slow
def test_one_success_among_failures_keeps_the_circuit_closed(pool: Pool) -> None:
    """Nothing but failures is what opens it."""
    for _ in range(10):
        fail(pool, 45, every=1.0)
        pool.call()
    fail(pool, 45, every=1.0)
    pool.call()


def test_jobs_that_cannot_be_made_ready_wait_for_the_circuit_too(pool: Pool) -> None:
    """Where not even a token is to be had, one job in turn uses up an attempt."""
    for _ in range(50):
        pool.clock.advance(0.7)
        assert isinstance(pool.ask(failing=True), Claimed)
        pool.end(pool.jobs, "failed")
    begun = pool.ask(failing=True)
    assert isinstance(begun, Defer)
    assert begun.why == "circuit"
    pool.clock.advance(6)
    assert isinstance(pool.ask(failing=True), Claimed)
    assert isinstance(pool.ask(failing=True), Defer)


def test_refused_credentials_hold_the_account_at_once(pool: Pool) -> None:
    """Jobs go back to the broker, so that they come with new tokens; one tries, every 5 to 15 s."""
    pool.end(pool.go(), "credentials", cause="sentinel: HTTP 401")
    for pause in (5, 10, 15, 15):
        shut = pool.ask()
        assert isinstance(shut, Defer)
        assert (shut.why, shut.cause) == ("credentials", "sentinel: HTTP 401")
        standing = read_standing(pool.store, ACCOUNT)
        assert (standing.holds, round(standing.seconds)) == ("credentials", pause)
        assert standing.cause == "sentinel: HTTP 401"
        pool.clock.advance(pause + 0.1)
        pool.end(pool.go(), "credentials", cause="sentinel: HTTP 401")
    pool.clock.advance(16)
    pool.call()
    assert read_standing(pool.store, ACCOUNT).holds == ""


def test_credentials_of_an_account_that_was_just_accepted_are_good(pool: Pool) -> None:
    """It is one job that was refused; and it learns that others were accepted since."""
    pool.call()
    refused = pool.go()
    pool.end(refused, "credentials")
    pool.clock.advance(1)
    assert pool.again(refused).alone is False
    pool.end(refused, "credentials")
    pool.clock.advance(1)
    pool.call()
    assert pool.again(refused).alone is True
    pool.clock.advance(6)
    pool.end(refused, "credentials")
    assert isinstance(pool.ask(), Defer)


def test_ten_refusals_to_whoever_asks_open_the_circuit(pool: Pool) -> None:
    """A page of a firewall's says the same to all; fewer, or within a second, open nothing."""
    for _ in range(10):
        pool.call("barred")
    pool.clock.advance(1.1)
    pool.call("barred")
    assert pool.wait().why == "circuit"


def test_whoever_tries_for_all_is_told_and_may_go_on(pool: Pool) -> None:
    """With a new token; until it has failed, nobody else tries."""
    pool.end(pool.go(), "credentials")
    pool.clock.advance(5.1)
    begun = pool.ask()
    assert isinstance(begun, Go)
    assert begun.claim.probing
    prober = pool.jobs
    pool.end(prober, "")
    assert isinstance(pool.ask(), Defer)
    assert pool.again(prober).probing
    pool.end(prober, "ok")
    begun = pool.ask()
    assert isinstance(begun, Go)
    assert not begun.claim.probing


def test_a_jobs_record_says_when_it_comes_back(pool: Pool) -> None:
    """After its pause, or behind what holds its account."""
    number = pool.go()
    pool.end(number, "failed", due=10)
    record = read_record(pool.store, ACCOUNT, make_job(number).job_id)
    assert record is not None
    assert (record.next_attempt_at, record.waits_for) == ("2023-11-14T22:13:30.000Z", "retry")
    pool.end(pool.go(), "credentials")
    pool.ask()
    record = read_record(pool.store, ACCOUNT, make_job(pool.jobs).job_id)
    assert record is not None
    assert (record.next_attempt_at, record.waits_for) == ("2023-11-14T22:13:25.000Z", "credentials")


def test_a_job_that_got_no_seat_has_a_record_of_its_wait(pool: Pool) -> None:
    """Behind refused credentials it says so, although no worker has begun it."""
    assert pool.put_off(7).why == ""
    record = read_record(pool.store, ACCOUNT, make_job(7).job_id)
    assert record is not None
    assert record.waits_for == "crowded"
    pool.end(pool.go(), "credentials", cause="sentinel: HTTP 401")
    found = pool.put_off(7)
    assert (found.why, found.cause) == ("credentials", "sentinel: HTTP 401")
    record = read_record(pool.store, ACCOUNT, make_job(7).job_id)
    assert record is not None
    assert record.waits_for == "credentials"


def test_how_an_account_stands(pool: Pool) -> None:
    """What holds it, what was learned, and whose ceilings those are."""
    unseen = read_standing(pool.store, ACCOUNT)
    assert (unseen.holds, unseen.in_flight, unseen.max_rate) == ("", 0, None)
    pool.ceiling = Ceiling(rate=20, in_flight=3)
    first = pool.go()
    for _ in range(2):
        pool.clock.advance(0.1)
        pool.go()
    pool.clock.advance(0.1)
    pool.wait()
    full = read_standing(pool.store, ACCOUNT)
    assert (full.holds, full.in_flight) == ("in_flight", 3)
    pool.end(first, "throttled", retry_after=7)
    paused = read_standing(pool.store, ACCOUNT)
    assert (paused.holds, paused.in_flight) == ("in_flight", 2)
    assert (paused.max_rate, paused.max_in_flight, paused.is_set) == (20, 3, False)
    assert (paused.learned_rate, paused.learned_in_flight) == (None, None)
    set_ceiling(pool.store, ACCOUNT, rate=5)
    lowered = read_standing(pool.store, ACCOUNT)
    assert (lowered.max_rate, lowered.is_set) == (5, True)


def test_a_jobs_record_keeps_nothing_of_its_permit(pool: Pool) -> None:
    """What the limiter wrote into it is gone with the attempt."""
    number = pool.go()
    job_id = make_job(number).job_id
    assert "permit" in recorded_fields(pool.store, job_id)
    pool.end(number)
    assert "permit" not in recorded_fields(pool.store, job_id)


def test_a_record_of_another_version_s_rules_keeps_its_level_alone(
    store: Redis, clock: StoreClock
) -> None:
    """Whatever else it holds was measured for rules that are not these, or is missing."""
    pool = Pool(store, clock)
    pool.ceiling = Ceiling(rate=1000, in_flight=1000)
    for state in ("raise", "settle", "check", "keep", "a state of its own"):
        now = f"{clock.seconds() * 1000}"
        other: Any = {"seen": now, "given_rate": 1000, "given_in_flight": 1000, "level": 20}
        store.delete(Keys(ACCOUNT).limit)
        store.hset(Keys(ACCOUNT).limit, mapping={**other, "state": state})
        assert pool.learned() == 20
        answers: tuple[Feedback, ...] = ("ok", "throttled")
        for feedback in answers * 30:
            booked = 0.0
            while isinstance(begun := pool.ask(booked=booked), Wait):
                clock.advance(begun.seconds)
                booked = begun.booked
            pool.end(pool.jobs, feedback)
        assert pool.learned() in range(20)
