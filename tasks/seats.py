"""Seats: how the accounts of a pool share the slots of a process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Seats:
    """Keeps a slow, throttled or huge account from taking every slot of the process.

    An account may hold as many slots as it leaves free: one alone half of them, two a third each,
    so that a newcomer finds some (dynamic thresholds, as switches share their buffers).
    """

    def __init__(self, slots: int, *, shared: bool) -> None:
        """Without several accounts to share them among (`shared`), every slot may be taken."""
        self._slots = slots
        self._shared = shared
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def seat(self, account_id: str) -> Iterator[bool]:
        """Hold a slot for an account: True, or False where it has its share already."""
        with self._lock:
            free = self._slots - self._taken.total()
            admitted = not self._shared or self._taken[account_id] < free
            self._taken[account_id] += admitted
        try:
            yield admitted
        finally:
            if admitted:
                with self._lock:
                    self._taken[account_id] -= 1
