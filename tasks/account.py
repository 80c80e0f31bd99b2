"""An account in this process: its client, its limits, and the line for its permits."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Final

import structlog

from tasks.line import Gate
from tasks.liveperson.client import LivePersonClient
from tasks.messages.outgoing import later
from tasks.store.ledger import Ceiling, Feedback

# The reasons that are logged; the others are the limiter's usual work.
REMARKABLE: Final = frozenset({"pause", "circuit", "credentials"})
# What a test of a held account comes back with when it has passed.
PASSED: Final = frozenset({"ok", "throttled"})
REMEDY: Final = (
    "correct the client id and secret, or what LivePerson allows them; a changed secret file or "
    "settings file is read again by itself, environment variables only at a restart"
)

log = structlog.get_logger()


class Hold:
    """Whether an account is held, for the log; threads share one."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._why = ""
        self._cause = ""
        self._since = 0.0
        self._ended = 0.0

    def begins(self, why: str, *, cause: str, seconds: float, asked: float) -> None:
        """Log that the account is held, if that is new; `seconds` are those until the next try.

        `asked` is when the store was asked, on the monotonic clock. If the hold has ended since,
        the news is out of date.
        """
        with self._lock:
            if why not in REMARKABLE or why == self._why or asked < self._ended:
                return
            if not self._why:
                self._since = time.monotonic()
            self._why, self._cause = why, cause
        said = {
            "why": why,
            "cause": cause,
            "retry_in": round(seconds, 1),
            "retry_at": later(seconds),
        }
        if why == "credentials":
            log.error("account.held", **said, remedy=REMEDY)
        else:
            log.warning("account.held", **said)

    def ends(self, *, asked: float) -> None:
        """Log that the account goes on, if it was held when the store was asked."""
        if not self._why:  # called for every job: checked without the lock
            return
        with self._lock:
            if asked < self._since:
                return
            why, cause, self._why = self._why, self._cause, ""
            self._ended = time.monotonic()
        if why:
            held = round(time.monotonic() - self._since, 1)
            log.info("account.released", why=why, cause=cause, seconds=held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The parts of one LivePerson account that a job uses."""

    client: LivePersonClient
    ceiling: Ceiling
    gate: Gate = field(default_factory=Gate)
    hold: Hold = field(default_factory=Hold)

    def recorded(self, feedback: Feedback, *, probing: bool, asked: float) -> None:
        """Note that the ledger has recorded an attempt, which frees its permit.

        If the attempt was the test of a held account and passed, the hold has ended. `asked` is
        when the ledger was asked to record it, on the monotonic clock.
        """
        self.gate.freed()
        # Not sooner: until the ledger knows, it tells other threads that the account is held.
        if probing and feedback in PASSED:
            self.hold.ends(asked=asked)
