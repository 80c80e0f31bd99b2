"""How old the oldest waiting message of a queue is, found out without taking or reading any.

No broker says it: neither Celery nor AMQP dates a message, and to look at a quorum queue is to take
from it. But how many messages wait, and how many were taken before, add up to how many ever came.
What had come by some earlier moment and was not taken since has waited for that long at least.
"""

from __future__ import annotations

from collections import deque
from typing import Final

# So many moments are remembered of a queue; beyond that every other one is forgotten, so that an
# age is short of the truth by as much as these lie apart.
MAX_MOMENTS: Final = 2000


class Ages:
    """Remembers of one queue how many messages had come, and when that was seen.

    Where messages vanish without being taken, as in a purge, those that came since count as old as
    the ones that are gone, until they are taken themselves. Times are in seconds, of any one clock.
    """

    def __init__(self) -> None:
        # The number that had come, and since when, both growing.
        self._came: deque[tuple[int, float]] = deque()

    def look(self, *, waiting: int, taken: int, now: float) -> float:
        """Return for how many seconds the oldest of the `waiting` messages has waited, at least.

        `taken` is how many were taken ever before, by anybody.
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
