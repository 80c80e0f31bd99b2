"""Other ways to find a limit, for the model: what is known of them, put on the same pacer.

AIMD as TCP has it; CUBIC's function on a request rate, as in the adaptive retry mode of the AWS
SDKs (RFC 9438); a delivered-rate filter with gains, as in BBR; Gradient2 of Netflix's
concurrency-limits.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Protocol

LATE_SECONDS: Final = 0.1
HORIZON_SECONDS: Final = 1.0
# Where each begins that does not know a limit, in calls a second.
FIRST_RATE: Final = 10.0


class Rule(Protocol):
    """What a rival makes of answers: a rate, and a number in flight; None is the ceiling."""

    rate: float | None
    width: float | None

    def learn(self, now: float, taken: float, *, accepted: bool) -> None:
        """Take an answer that took so many seconds."""


class Rival:
    """A pacer and a cap, led by a rule."""

    def __init__(self, rule: Rule, *, rate: float, in_flight: int) -> None:
        self._rule = rule
        self._ceiling = (rate, in_flight)
        self._slot = -1e9
        self._left: dict[int, float] = {}

    def ask(self, now: float, owner: int, slot: float, *, again: bool) -> tuple[float, float] | str:
        """Ask for a permit: its record, or (seconds to wait, booked slot)."""
        del again
        rate, width = self._in_force()
        if len(self._left) >= width:
            return 0.0, 0.0
        if slot > now or slot < now - max(LATE_SECONDS, 1 / rate):
            due = now if self._slot < now - LATE_SECONDS else self._slot
            is_booked = due <= now + HORIZON_SECONDS
            if is_booked:
                self._slot = due + 1 / rate
            if due > now:
                return due - now, due if is_booked else 0.0
        self._left[owner] = now
        return str(owner)

    def answer(
        self, now: float, owner: int, record: str, *, accepted: bool, retry_after: float
    ) -> tuple[float, float]:
        """Tell what LivePerson answered; returns rate and width in force."""
        del owner, retry_after
        self._rule.learn(now, now - self._left.pop(int(record)), accepted=accepted)
        return self._in_force()

    def _in_force(self) -> tuple[float, float]:
        rate, width = self._ceiling
        found = self._rule
        return (
            rate if found.rate is None else max(0.5, min(rate, found.rate)),
            width if found.width is None else max(1, math.floor(min(width, found.width))),
        )


class Aimd:
    """A call more a second for each second; half after a refusal, once a second at most."""

    def __init__(self) -> None:
        self.rate: float | None = FIRST_RATE
        self.width: float | None = None
        self._cut_at = -1.0

    def learn(self, now: float, taken: float, *, accepted: bool) -> None:
        """Take an answer."""
        del taken
        assert self.rate is not None
        if accepted:
            self.rate += 1 / self.rate
        elif now - self._cut_at >= 1:
            self.rate /= 2
            self._cut_at = now


class Cubic:
    """The AWS SDKs' adaptive mode: 0.7 after a refusal, then CUBIC's growth, twice the measured."""

    SCALE: Final = 0.4
    BETA: Final = 0.7

    def __init__(self) -> None:
        self.rate: float | None = FIRST_RATE
        self.width: float | None = None
        self._most = FIRST_RATE
        self._cut_at = 0.0
        self._measured = 0.0
        self._bucket, self._count = 0.0, 0

    def learn(self, now: float, taken: float, *, accepted: bool) -> None:
        """Take an answer."""
        del taken
        assert self.rate is not None
        self._measure(now)
        if accepted:
            window = (self._most * (1 - self.BETA) / self.SCALE) ** (1 / 3)
            grown = self.SCALE * (now - self._cut_at - window) ** 3 + self._most
        else:
            self._most = min(self.rate, self._measured) if self._measured else self.rate
            self._cut_at = now
            grown = self._most * self.BETA
        self.rate = min(grown, max(2 * self._measured, FIRST_RATE))

    def _measure(self, now: float) -> None:
        half = math.floor(now * 2) / 2
        self._count += 1
        if half > self._bucket:
            rate = self._count / (half - self._bucket)
            self._measured = 0.8 * rate + 0.2 * self._measured
            self._bucket, self._count = half, 0


class Bbr:
    """The most that was delivered in a second of the last ten, with a gain of 1.25 every eighth."""

    def __init__(self) -> None:
        self.rate: float | None = FIRST_RATE
        self.width: float | None = None
        self._second, self._count = 0, 0
        self._delivered: deque[int] = deque(maxlen=10)
        self._is_starting = True

    def learn(self, now: float, taken: float, *, accepted: bool) -> None:
        """Take an answer."""
        del taken
        assert self.rate is not None
        if int(now) > self._second:
            before = max(self._delivered, default=0)
            self._delivered.append(self._count)
            if self._is_starting and self._count < 1.25 * before:
                self._is_starting = False
            best = max(self._delivered)
            gain = 2.0 if self._is_starting else {0: 1.25, 1: 0.75}.get(int(now) % 8, 1.0)
            self.rate = max(gain * best, FIRST_RATE if self._is_starting else 1.0)
            self._second, self._count = int(now), 0
        self._count += accepted


class Gradient2:
    """A number in flight by the gradient of answer times; 0.9 of it after a refusal."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self.width: float | None = 20.0
        self._long = 0.0

    def learn(self, now: float, taken: float, *, accepted: bool) -> None:
        """Take an answer."""
        del now
        assert self.width is not None
        if not accepted:
            self.width = max(1.0, 0.9 * self.width)
            return
        self._long = self._long + (taken - self._long) / 600 if self._long else taken
        gradient = max(0.5, min(1.0, 1.5 * self._long / taken))
        new = gradient * self.width + math.sqrt(self.width)
        self.width += 0.2 * (new - self.width)
