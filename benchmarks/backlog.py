"""What a job costs with few jobs behind it and with many: side by side, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from benchmarks.brokers import Servers, servers
from benchmarks.contest import WARM_UP, measure
from benchmarks.contestant import Case, progress, worker
from benchmarks.enqueue import enqueue
from benchmarks.fake_api import FakeApi
from benchmarks.jobs import jobs

SLOTS = 20


class Backlog:
    """Servers of its own with so many jobs waiting, however many are taken."""

    def __init__(self, started: Servers, size: int) -> None:
        self._servers = started
        self._filled = 0
        self.size = size
        started.clean()

    def turn(self, api: FakeApi, count: int, workers: int) -> dict[str, float]:
        """Fill it up, and measure `count` jobs taken off it."""
        case = Case(broker="", name="overture", latency=0, concurrency=SLOTS, jobs=count)
        with progress(case, self._servers, api) as done, ExitStack() as stack:
            self._fill(done())
            first = done() + WARM_UP
            crew = [
                stack.enter_context(worker(case, self._servers, api, 0)) for _ in range(workers)
            ]
            return asdict(measure(crew, self._servers, done, first, first + count))

    def _fill(self, done: int) -> None:
        missing = self.size - (self._filled - done)
        enqueue(self._servers.broker.url, jobs(missing, first=self._filled))
        self._filled += missing


def costs(
    broker: str,
    api: FakeApi,
    *,
    sizes: Sequence[int],
    crews: Sequence[int],
    count: int,
    turns: int,
) -> Iterator[dict[str, Any]]:
    """Yield the medians for each backlog, and for more workers on the largest.

    The turns are taken one after the other, so that a machine whose speed drifts is as fast for
    each of them.
    """
    api.set_latency(0)
    with ExitStack() as stack:
        backlogs = [Backlog(stack.enter_context(servers(broker)), size) for size in sizes]
        cases = [(backlog, 1) for backlog in backlogs]
        cases += [(max(backlogs, key=lambda one: one.size), crew) for crew in crews]
        rows: list[list[dict[str, float]]] = [[] for _ in cases]
        for _ in range(turns):
            for (backlog, crew), found in zip(cases, rows, strict=True):
                found.append(backlog.turn(api, count, crew))
    for (backlog, crew), found in zip(cases, rows, strict=True):
        medians = {name: statistics.median(row[name] for row in found) for name in found[0]}
        yield {"backlog": backlog.size, "workers": crew, "turns": turns, **medians}
