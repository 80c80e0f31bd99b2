"""`python -m benchmarks.timed_worker` is `overture`, and times what its metrics cost at work.

What they cost there, among all else that a job needs, is more than in a loop of their own. The page
`/metrics` shows the processor time that they took, with that of the whole process beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import local
from time import thread_time_ns
from typing import Any, Final

import worker.pages
from config.streams import protect
from console import main
from worker.metrics import WorkerMetrics
from worker.serving import Page

SPENT: Final = "bench_metrics_nanoseconds"
CALLS: Final = "bench_metrics_calls"
EMPTY: Final = "bench_metrics_empty_nanoseconds"
TIMED: Final = ("called", "attempted", "permitted", "repeats", "ended")
REPEATS: Final = 20_000


class Spent:
    """Processor time of each thread, summed when it is asked for: threads share no number."""

    def __init__(self) -> None:
        self._mine = local()
        self._all: list[list[int]] = []

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with a clock around it."""

        def clocked(*arguments: Any) -> Any:
            began = thread_time_ns()
            found = call(*arguments)
            spent = thread_time_ns() - began
            mine = self._of_this_thread()
            mine[0] += spent
            mine[1] += 1
            return found

        return clocked

    def sums(self) -> tuple[int, int]:
        """Return nanoseconds, and calls."""
        return sum(one[0] for one in self._all), sum(one[1] for one in self._all)

    def _of_this_thread(self) -> list[int]:
        try:
            mine: list[int] = self._mine.sums
        except AttributeError:
            mine = self._mine.sums = [0, 0]
            self._all.append(mine)
        return mine


class TimedMetrics(WorkerMetrics):
    """Shows what its measurements and its pages have cost, too."""

    def __init__(self, accounts: Collection[str]) -> None:
        super().__init__(accounts)
        self._empty = _empty()
        self._spent = Spent()
        for name in TIMED:
            setattr(self, name, self._spent.timed(getattr(self, name)))
        self._page = self._spent.timed(super().page)

    def page(self, accept: str) -> Page:
        page: Page = self._page(accept)
        nanoseconds, calls = self._spent.sums()
        lines = f"{SPENT} {nanoseconds}\n{CALLS} {calls}\n{EMPTY} {self._empty}\n"
        return Page(body=page.body + lines.encode(), content_type=page.content_type)


def _empty() -> float:
    """Return what the clock says of a call that does nothing, in nanoseconds."""
    spent = Spent()
    nothing = spent.timed(lambda: None)
    for _ in range(REPEATS):
        nothing()
    nanoseconds, calls = spent.sums()
    return nanoseconds / calls


if __name__ == "__main__":
    vars(worker.pages)["WorkerMetrics"] = TimedMetrics
    protect()
    main()
