"""The gate: where the threads of one process wait, in order, for permits of one account."""

from __future__ import annotations

import heapq
import threading
from typing import Final

# Sorts the highest priority first, and then the earliest delivery.
Rank = tuple[int, int]


class Gate:
    """Lets one thread at a time ask the store again, so that a wait costs no crowd of questions.

    With few slots booked ahead the pool neither herds nor bursts. A thread whose `enter` returned
    True must `leave`, which calls the waiting thread of the lowest rank.
    """

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._line: Final[list[tuple[Rank, _Place]]] = []
        self._freed: Final = threading.Event()
        self._is_taken = False

    def is_free(self) -> bool:
        """Tell whether nobody waits."""
        return not self._is_taken

    def enter(self, rank: Rank, *, seconds: float) -> bool:
        """Wait for this thread's turn; False if it does not come within so many seconds."""
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
        """Give the turn to the next one."""
        with self._lock:
            if self._line:
                heapq.heappop(self._line)[1].called.set()
            else:
                self._is_taken = False

    def freed(self) -> None:
        """Tell whoever waits for a request in flight to end that one has."""
        self._freed.set()

    def wait_until_freed(self, seconds: float) -> None:
        """Wait for a request of this process to end, for at most so many seconds."""
        self._freed.wait(seconds)
        self._freed.clear()


class _Place:
    """A place in the line; places compare alike, so that ranks alone decide."""

    __slots__ = ("called",)

    def __init__(self) -> None:
        self.called = threading.Event()

    def __lt__(self, other: object) -> bool:
        return False
