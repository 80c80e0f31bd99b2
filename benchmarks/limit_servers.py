"""The model's LivePerson: limits of several kinds, in made-up time."""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Server(Protocol):
    """LivePerson's side of a limit."""

    def enter(self, now: float) -> bool:
        """Take a call in, or refuse it."""

    def leave(self) -> None:
        """Answer a call that was taken in."""


class Bucket:
    """`rate` calls a second, and `burst` seconds' worth at once after a quiet time."""

    def __init__(self, rate: float, burst: float) -> None:
        self._interval = 1 / rate
        self._size = max(1, round(burst * rate)) * self._interval
        self._full_at = 0.0

    def enter(self, now: float) -> bool:
        full_at = max(self._full_at, now) + self._interval
        if full_at - now > self._size + 1e-9:
            return False
        self._full_at = full_at
        return True

    def leave(self) -> None:
        pass


class Window:
    """So many calls in each window of the clock, a second unless said."""

    def __init__(self, most: int, seconds: float = 1) -> None:
        self._most, self._seconds = most, seconds
        self._window, self._count = -1.0, 0

    def enter(self, now: float) -> bool:
        window = now // self._seconds
        if window != self._window:
            self._window, self._count = window, 0
        self._count += 1
        return self._count <= self._most

    def leave(self) -> None:
        pass


class Sliding:
    """So many calls in any second, or other time; `strict` counts those that are refused, too."""

    def __init__(self, most: int, seconds: float = 1, *, strict: bool = False) -> None:
        self._most, self._seconds, self._strict = most, seconds, strict
        self._calls: deque[float] = deque()

    def enter(self, now: float) -> bool:
        while self._calls and self._calls[0] <= now - self._seconds:
            self._calls.popleft()
        free = len(self._calls) < self._most
        if free or self._strict:
            self._calls.append(now)
        return free

    def leave(self) -> None:
        pass


class Cap:
    """So many calls at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    def enter(self, now: float) -> bool:  # noqa: ARG002 - a cap knows no time
        if self._inside >= self._most:
            return False
        self._inside += 1
        return True

    def leave(self) -> None:
        self._inside -= 1
