"""An account as this process knows it: its client, its ceiling, and the gate to its permits."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Final

import structlog

from tasks.line import Gate
from tasks.liveperson.client import LivePersonClient
from tasks.messages.outgoing import later
from tasks.store.ledger import Ceiling

# What is worth a line in the log: the others are a limiter's everyday work.
REMARKABLE: Final = frozenset({"pause", "circuit", "credentials"})
REMEDY: Final = (
    "correct the client id and secret, or what LivePerson allows them; a changed secret file or "
    "settings file is read again by itself, environment variables only at a restart"
)

log = structlog.get_logger()


class Hold:
    """Knows whether its account is held; threads share one."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._why = ""
        self._cause = ""
        self._since = 0.0
        self._ended = 0.0

    def begins(self, why: str, *, cause: str, seconds: float, asked: float) -> None:
        """Say that the account is held, for so many seconds until the next try, if that is new.

        The store was asked at this monotonic time: if the hold has ended since, it is old news.
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
        """Say that the account goes on, if it was held when the store was asked."""
        if not self._why:  # asked for every job: without the lock
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
    """What a job needs of its LivePerson account."""

    client: LivePersonClient
    ceiling: Ceiling
    gate: Gate = field(default_factory=Gate)
    hold: Hold = field(default_factory=Hold)
