"""The age of the oldest waiting message of a queue, computed without taking or reading any.

No broker tells it: neither Celery nor AMQP dates messages, and reading a quorum queue means taking
from it. But the messages that wait and those that were taken before add up to all that ever came. A
message that had come at an earlier time and was not taken since has waited at least that long.
"""

from __future__ import annotations

from collections import deque
from typing import Final

# How many moments are kept of a queue; beyond that every other one is dropped. An age is too short
# by as much as the moments are apart.
MAX_MOMENTS: Final = 2000


class Ages:
    """How many messages had come to a queue at which times.

    After a purge the messages that come count as old as the ones that are gone, until they are
    taken themselves. Times are in seconds, of any one clock.
    """

    def __init__(self) -> None:
        # (how many had come, since when), both increasing.
        self._came: deque[tuple[int, float]] = deque()

    def look(self, *, waiting: int, taken: int, now: float) -> float:
        """Return how many seconds the oldest of the `waiting` messages has waited at least.

        `taken` is how many were ever taken, by anybody.
        """
        if not waiting:
            self._came.clear()
            return 0.0
        came, since = waiting + taken, now
        while self._came and self._came[-1][0] >= came:
            _, since = self._came.pop()
        self._came.append((came, since))
        while self._came[0][0] <= taken:
            self._came.popleft()
        if len(self._came) > MAX_MOMENTS:
            self._came = deque(one for at, one in enumerate(self._came) if at % 2 == 0)
        return now - self._came[0][1]
