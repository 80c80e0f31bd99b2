"""Permits: a job waits for the ledger's permission to send, in its slot or in the broker."""

from __future__ import annotations

import time
from collections import deque
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Final, Literal

from tasks.account import Account
from tasks.line import Rank, Seats
from tasks.measures import UNMEASURED, Measures
from tasks.messages.intake import Work
from tasks.stopping import Shutdown
from tasks.store.answers import Beginning, Defer, Go, Held, Wait
from tasks.store.ledger import MAX_AHEAD_SECONDS, Ledger, Purpose
from tasks.store.pulse import Pulse
from tasks.store.retrying import retry_store

# How long a thread waits for a request in flight to end before it asks again.
FLIGHT_POLL_SECONDS: Final = 0.02
# The longest time between two questions of a waiting thread: limits can change.
MAX_SLEEP_SECONDS: Final = 1.0
# A thread leaves the line this long before its booked time, so that the next one can ask; and who
# asks without standing in line books no further ahead. Few times are booked, so that a lower limit
# takes effect at once; but enough that threads that wake late, on a busy machine, delay no other.
AHEAD_SECONDS: Final = 0.25
# As `patience`: never wait. A wait for a request in flight counts as 0 s, so 0 would allow it.
NO_WAIT_SECONDS: Final = -1.0
# How long a submission counts as having a pace after one of its jobs was put off for it.
PACED_SECONDS: Final = 600.0
# How many such submissions are remembered.
MAX_PACED: Final = 1000
# How often a worker checks whether the others see its pulse again.
UNSEEN_POLL_SECONDS: Final = 0.1


class Permits:
    """Begins jobs in the ledger, and waits for their permits."""

    def __init__(
        self,
        ledger: Ledger,
        pulse: Pulse,
        shutdown: Shutdown,
        *,
        seats: Seats,
        patience: float,
        measures: Measures = UNMEASURED,
    ) -> None:
        """Let a job wait in its slot for at most `patience` seconds, else in the broker.

        `answered_at` is when the ledger last answered. `waiting` has an entry for each thread that
        waits for a permit.
        """
        self._ledger = ledger
        self._pulse = pulse
        self._shutdown = shutdown
        self._seats = seats
        self._patience = patience
        self._measures = measures
        # A deque, because changing it needs no lock among threads.
        self.waiting: deque[None] = deque()
        self.answered_at = time.monotonic()
        # Until when a submission of an account counts as having a pace of its own.
        self._paced: dict[tuple[str, str | None], float] = {}

    def is_paced(self, work: Work) -> bool:
        """Tell whether a job may be put off for its submission's pace: then tokens come later."""
        job = work.job
        return self._paced.get((job.account_id, job.submission_id), 0.0) > time.monotonic()

    def seat(self, work: Work) -> AbstractContextManager[bool]:
        """Take a slot of this process for a job's account; False if it has its share already."""
        return self._seats.seat(work.job.account_id)

    def put_off(self, work: Work, account: Account) -> Defer:
        """Return when a job without a seat should come back, and why. Raises Stopping."""
        found = retry_store(
            lambda: self._ledger.put_off(work.job, ceiling=account.ceiling, waits_for="crowded"),
            until=self._shutdown.draining,
        )
        return found if found.why else Defer(found.seconds, "crowded")

    def claim(
        self, work: Work, account: Account, purpose: Literal["claim", "fail"], *, visit: str = ""
    ) -> Beginning:
        """Claim the job without a permit; waits only for the store. Raises Stopping.

        A `visit` is kept for the job's next attempt.
        """
        begun = self._ask(work, account, purpose, visit=visit)
        assert not isinstance(begun, Wait)
        return begun

    def begin(
        self, work: Work, account: Account, purpose: Literal["prepare", "send"] = "send"
    ) -> Beginning:
        """Claim the job to prepare its request, or to send it with a permit. Raises Stopping.

        Waits for the permit, and while the account is paused. A job that expires meanwhile is
        claimed without a permit.
        """
        came_at = time.monotonic()
        begun: Beginning | Wait | None = None
        if purpose == "prepare" or account.gate.is_free():
            begun = self._ask(work, account, purpose, patience=self._patience, ahead=AHEAD_SECONDS)
        if begun is None or isinstance(begun, Wait):
            self.waiting.append(None)
            try:
                begun = self._wait(work, account, purpose, begun, came_at)
            finally:
                self.waiting.pop()
        if isinstance(begun, Go):
            self._measures.permitted(time.monotonic() - came_at)
        return begun

    def _wait(
        self, work: Work, account: Account, purpose: Purpose, begun: Wait | None, came_at: float
    ) -> Beginning:
        """Wait until the ledger lets the job go, or `patience` ends."""
        left = work.seconds_left(datetime.now(UTC))
        deadline = min(came_at + self._patience, time.monotonic() + left)
        answer: Beginning | Wait | None = begun
        while answer is None or isinstance(answer, Wait):
            if answer is not None and answer.booked:
                self._shutdown.sleep(answer.left())
                answer = self._ask(
                    work, account, purpose, booked=answer.booked, patience=self._patience
                )
            else:
                answer = self._wait_in_line(work, account, purpose, answer, deadline)
        return answer

    def _wait_in_line(
        self, work: Work, account: Account, purpose: Purpose, wait: Wait | None, deadline: float
    ) -> Beginning | Wait:
        """Wait in line until a time is booked, or an answer ends the waiting."""
        gate = account.gate
        if not gate.enter(_rank(work), seconds=deadline - time.monotonic()):
            return self._give_up_waiting(work, account, purpose)
        try:
            while True:
                if wait is not None:
                    self._sleep(wait, account, deadline)
                if time.monotonic() > deadline:
                    return self._give_up_waiting(work, account, purpose)
                begun = self._ask(work, account, purpose, patience=self._patience)
                if not isinstance(begun, Wait):
                    return begun
                if begun.booked:
                    self._shutdown.sleep(max(0.0, begun.left() - AHEAD_SECONDS))
                    return begun
                wait = begun
        finally:
            gate.leave()

    def _give_up_waiting(self, work: Work, account: Account, purpose: Purpose) -> Beginning:
        is_expired = work.is_expired(datetime.now(UTC))
        begun = self._ask(work, account, "claim" if is_expired else purpose)
        assert not isinstance(begun, Wait)
        return begun

    def _ask(
        self,
        work: Work,
        account: Account,
        purpose: Purpose,
        *,
        booked: float = 0,
        visit: str = "",
        patience: float = NO_WAIT_SECONDS,
        ahead: float = MAX_AHEAD_SECONDS,
    ) -> Beginning | Wait:
        dead_owner = ""
        while True:
            asked = time.monotonic()
            begun = retry_store(
                lambda: self._ledger.begin(
                    work.job,
                    work.owner,
                    ceiling=account.ceiling,
                    purpose=purpose,
                    booked=booked,
                    dead_owner=dead_owner,  # noqa: B023 - called before it changes
                    visit=visit,
                    patience=patience,
                    ahead=ahead,
                ),
                until=self._shutdown.draining,
            )
            self.answered_at = time.monotonic()
            if isinstance(begun, Go) and not self._pulse.is_shown():
                # This worker was perhaps frozen since it asked: another one may have the job.
                self._shutdown.sleep(UNSEEN_POLL_SECONDS)
                continue
            if not isinstance(begun, Held) or begun.owner == dead_owner:
                self._note(work, account, begun, asked)
                return begun
            if self._is_alive(begun.owner):
                return begun
            dead_owner = begun.owner

    def _is_alive(self, owner: str) -> bool:
        return retry_store(lambda: self._pulse.is_alive(owner), until=self._shutdown.draining)

    def _sleep(self, wait: Wait, account: Account, deadline: float) -> None:
        if wait.seconds > 0:
            left = max(0.0, deadline - time.monotonic())
            self._shutdown.sleep(min(wait.left(), left, MAX_SLEEP_SECONDS))
            return
        account.gate.wait_until_freed(FLIGHT_POLL_SECONDS)
        self._shutdown.sleep(0)

    def _note(self, work: Work, account: Account, begun: Beginning | Wait, asked: float) -> None:
        """Log the begin and the end of a hold on an account."""
        match begun:
            case Wait(seconds=seconds, why=why, cause=cause) | Defer(seconds, why, cause):
                account.hold.begins(why, cause=cause, seconds=seconds, asked=asked)
                if why == "pace":
                    self._note_pace(work)
            case Go(claim) if not claim.probing:
                account.hold.ends(asked=asked)

    def _note_pace(self, work: Work) -> None:
        if len(self._paced) >= MAX_PACED:
            self._paced = {}
        key = (work.job.account_id, work.job.submission_id)
        self._paced[key] = time.monotonic() + PACED_SECONDS


def _rank(work: Work) -> Rank:
    """Return a job's place in the line; owners are numbered in the order of their deliveries."""
    return -work.job.priority, int(work.owner.rpartition("/")[2])
