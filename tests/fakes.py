"""In-memory stand-ins that keep the promises of the real parts."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class InMemoryTokenStore:
    """A `TokenStore` for one process; times are in seconds on `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens: dict[str, tuple[str, float]] = {}
        self._pauses: dict[str, tuple[float, str]] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        # How long a caller waits for another one that refreshes.
        self.lock_seconds = 10.0

    def get_app_token(self, account_id: str) -> tuple[str, float] | None:
        token, until = self._tokens.get(account_id, ("", 0.0))
        left = until - self._clock()
        return (token, left) if token and left > 0 else None

    def put_app_token(self, account_id: str, token: str, *, ttl_seconds: float) -> None:
        self._tokens[account_id] = (token, self._clock() + ttl_seconds)

    def drop_app_token(self, account_id: str, token: str) -> None:
        if self._tokens.get(account_id, ("", 0.0))[0] == token:
            del self._tokens[account_id]

    @contextmanager
    def lock_refresh(self, account_id: str) -> Iterator[bool]:
        lock = self._locks[account_id]
        if not lock.acquire(blocking=False):
            if lock.acquire(timeout=self.lock_seconds):
                lock.release()
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def token_pause(self, account_id: str) -> tuple[float, str]:
        until, why = self._pauses.get(account_id, (0.0, ""))
        left = until - self._clock()
        return (left, why) if left > 0 else (0.0, "")

    def pause_tokens(self, account_id: str, seconds: float, why: str = "") -> None:
        if seconds > self.token_pause(account_id)[0]:
            self._pauses[account_id] = (self._clock() + seconds, why)
