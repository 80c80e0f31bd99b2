"""The gate: where the threads of one process wait, in order, for permits of one account."""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

# Sorts the highest priority first, and then the earliest delivery.
Rank = tuple[int, int]


class Gate:
    """Lets one thread poll the store; the others queue by rank.

    A thread whose `enter` returned True must call `leave`, which wakes the waiting thread of the
    lowest rank.
    """

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._line: Final[list[tuple[Rank, _Place]]] = []
        self._freed: Final = threading.Event()
        self._is_taken = False

    def is_free(self) -> bool:
        """Tell whether no thread polls or waits."""
        return not self._is_taken

    def enter(self, rank: Rank, *, seconds: float) -> bool:
        """Wait for this thread's turn; False if it does not come within `seconds`."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            place = _Place()
            heapq.heappush(self._line, (rank, place))
        if place.called.wait(seconds):
            return True
        with self._lock:
            if place.called.is_set():
                return True
            self._line.remove((rank, place))
            heapq.heapify(self._line)
            return False

    def leave(self) -> None:
        """End this thread's turn, and wake the next one."""
        with self._lock:
            if self._line:
                heapq.heappop(self._line)[1].called.set()
            else:
                self._is_taken = False

    def freed(self) -> None:
        """Note that a request in flight has ended, for the thread that waits for it."""
        self._freed.set()

    def wait_until_freed(self, seconds: float) -> None:
        """Wait for a request of this process to end, at most `seconds`."""
        self._freed.wait(seconds)
        self._freed.clear()


class _Place:
    """A place in the line; places compare as equal, so that only ranks decide."""

    __slots__ = ("called",)

    def __init__(self) -> None:
        self.called = threading.Event()

    def __lt__(self, other: object) -> bool:
        return False


class Seats:
    """Keeps a slow, throttled or huge account from taking every slot of the process.

    An account may take as many slots as it leaves free: one account gets half of them, two get a
    third each, so that the next one finds some (dynamic thresholds, as in switches' buffers).
    """

    def __init__(self, slots: int, *, shared: bool) -> None:
        """Unless several accounts share the slots (`shared`), one may take them all."""
        self._slots = slots
        self._shared = shared
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def seat(self, account_id: str) -> AbstractContextManager[bool]:
        """Take a slot for an account; False if it has its share already."""
        return self._seat(account_id) if self._shared else nullcontext(enter_result=True)

    @contextmanager
    def _seat(self, account_id: str) -> Iterator[bool]:
        with self._lock:
            admitted = self._taken[account_id] < self._slots - self._taken.total()
            self._taken[account_id] += admitted
        try:
            yield admitted
        finally:
            if admitted:
                with self._lock:
                    self._taken[account_id] -= 1
