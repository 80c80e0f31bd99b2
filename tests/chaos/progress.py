"""How far a run has come, and when it is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from tests.chaos.stage import Stage
from tests.chaos.submissions import Submission

COUNT_SECONDS: Final = 0.25
# What is left after this share is not worth breaking anything for.
ENOUGH: Final = 0.95
# Nothing came out for so long, and nothing waits: it is over.
QUIET_SECONDS: Final = 6.0
FINISHED: Final = frozenset({"done", "published"})


class Progress:
    """How far a run has come, as a thread finds out: a broker that is away makes nobody wait."""

    def __init__(self, stage: Stage, sent: Sequence[Submission]) -> None:
        self._stage = stage
        self._expected = len({one.body for one in sent})
        self._jobs = {
            (one.account_id, one.job_id) for one in sent if one.outcomes & {"created", "expired"}
        }
        self._started = self._changed = time.monotonic()
        self._came_out = 0
        self.longest_pause = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def seconds(self) -> float:
        """Return how long it has taken."""
        return time.monotonic() - self._started

    def share(self) -> float:
        """Return about what share of the messages has an outcome."""
        return self._came_out / self._expected

    def is_settled(self) -> bool:
        """Tell whether every job has its outcome, and nothing has come out for a while."""
        if self.share() < 1 or time.monotonic() - self._changed < QUIET_SECONDS:
            return False
        return self._stage.broker.waiting() == 0 and self._stage.job_states(self._jobs) <= FINISHED

    def _look(self) -> None:
        while not self._is_over.wait(COUNT_SECONDS):
            with suppress(Exception):  # a broker that is away counts nothing
                count, now = self._stage.broker.came_out(), time.monotonic()
                if count != self._came_out:
                    if 0 < self.share() < ENOUGH:
                        self.longest_pause = max(self.longest_pause, now - self._changed)
                    self._came_out, self._changed = count, now
