"""One run of a pool at a limit: Overture's, or plain Celery's, before a LivePerson that changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from benchmarks.limit_pool import ACCOUNT, Seen, Stage, jobs
from tasks.store.limits import read_standing
from tests.simulator_client import Client

# An answer takes 100 ms, give or take 20; a burst is what may come at once after a quiet time.
LATENCY = "100:20"
BURST_SECONDS = 0.2

# From so many seconds after the first call on, so many calls a second.
Changes = Sequence[tuple[int, float]]


class Runs:
    """Runs a pool for some seconds, its queue never empty.

    The limit is a rate in calls a second; with a `cap` it is that number of requests at a time.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def overture(
        self,
        limit: float,
        workers: int,
        seconds: int,
        *,
        changes: Changes = (),
        cap: int | None = None,
        jobs_a_second: float = 0,
        refused: float = 0,
        stray_consumers: float = 0,
        **settings: object,
    ) -> Seen:
        """Run workers of ours.

        The share `refused` of the calls is answered with 429 at any pace; and so are the first
        three calls of the share `stray_consumers` of the consumers, of whom each has one job.
        """
        stage = self._stage
        self._prepare(limit, cap)
        backlog = _backlog(jobs_a_second or limit, seconds)
        every = round(1 / stray_consumers) if stray_consumers else backlog
        strays = (f"consumer-{number}" for number in range(every - 1, backlog, every))
        stage.refuse(share=refused, consumers=strays if stray_consumers else (), times=3)
        stage.fill(jobs(backlog, consumers=backlog) if stray_consumers else jobs(backlog))
        settings = {"max_in_flight": 500, **settings}
        with stage.overture(workers, **settings), Changing(stage, changes):
            seen = stage.watch(seconds)
            standing = read_standing(stage.store, ACCOUNT)
        rate = standing.learned_rate and round(standing.learned_rate, 1)
        return replace(seen, learned=f"learned {rate}, in flight {standing.learned_in_flight}")

    def celery(
        self,
        limit: float,
        workers: int,
        seconds: int,
        *,
        rate_limit: str = "",
        changes: Changes = (),
        cap: int | None = None,
    ) -> Seen:
        """Run plain Celery's."""
        stage = self._stage
        self._prepare(limit, cap)
        stage.refuse()
        stage.fill_plain(_backlog(limit, seconds))
        with stage.celery(workers, rate_limit=rate_limit), Changing(stage, changes):
            return stage.watch(seconds)

    def possible(self, cap: int, seconds: int) -> float:
        """Return the calls a second of `cap` threads that do nothing but call.

        It is less than `cap` ÷ latency, by what LivePerson and the way there take.
        """
        self._prepare(0, cap)
        over = threading.Event()

        def call(consumer: str) -> None:
            client = Client(self._stage.liveperson.url)
            headers = client.tokens(consumer)
            while not over.is_set():
                client.create(headers).raise_for_status()

        with ThreadPoolExecutor(cap) as pool:
            calls = [pool.submit(call, f"c-{number}") for number in range(cap)]
            try:
                seen = self._stage.watch(seconds)
            finally:
                over.set()
            for one in calls:
                one.result()  # fewer threads would make less possible
        return seen.goodput(2, seconds)

    def _prepare(self, limit: float, cap: int | None) -> None:
        if cap is None:
            self._stage.clean(rate=limit, burst=_burst(limit))
        else:
            self._stage.clean(maxConcurrent=cap)


class Changing:
    """Changes LivePerson's limit so many seconds after the first call."""

    def __init__(self, stage: Stage, changes: Changes) -> None:
        self._stage = stage
        self._changes = changes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while self._changes and not (first := self._stage.first_second()):
            self._over.wait(0.1)
        for second, rate in self._changes:
            if self._over.wait(max(0.0, first + second - time.time())):
                return
            self._stage.limit(rate=rate, burst=_burst(rate))


def _burst(rate: float) -> int:
    return max(1, round(rate * BURST_SECONDS))


def _backlog(limit: float, seconds: int) -> int:
    """Return more jobs than can be done meanwhile."""
    return round(limit * seconds * 1.3) + 500
