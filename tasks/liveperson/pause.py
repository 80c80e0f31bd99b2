"""The pause after a 429: for a while, this process asks a service of an account nothing more.

Source: LivePerson's retry policy (again after 1 s at the earliest, and after 5 s for tokens).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tasks.liveperson.answer import LONGEST_RETRY_AFTER_SECONDS, Answer, Kind


@dataclass(frozen=True, slots=True)
class _Throttled:
    answer: Answer
    until: float


class Pause:
    """Keeps one service of one account from being asked after a 429; threads share one.

    `shortest` is how long it is left alone at least, in seconds.
    """

    def __init__(self, shortest: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shortest = shortest
        self._clock = clock
        self._throttled: _Throttled | None = None
        self._lock = threading.Lock()

    def refusal(self) -> Answer | None:
        """Return the 429 again while its pause lasts, its `retry_after` being what is left."""
        throttled, now = self._throttled, self._clock()
        if throttled is None or now >= throttled.until:
            return None
        return replace(throttled.answer, retry_after=throttled.until - now)

    def after(self, answer: Answer) -> None:
        """Begin a pause if the answer is a 429; a longer one that was begun stays."""
        if answer.kind is not Kind.THROTTLED:
            return
        seconds = min(max(self._shortest, answer.retry_after or 0), LONGEST_RETRY_AFTER_SECONDS)
        until = self._clock() + seconds
        with self._lock:
            if self._throttled is None or self._throttled.until < until:
                self._throttled = _Throttled(answer, until)
