"""A pool of real workers before a simulated LivePerson with a limit, and what that saw of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery
from redis import Redis

from benchmarks.enqueue import enqueue
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT = "12345678"
# So many that no two jobs of one consumer meet: a worker may be a few hundred jobs behind another.
CONSUMERS = 2000
SLOTS = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """Calls that LivePerson accepted and refused in each second, from the first call on.

    `learned` says what the pool had learned of the limit by the end, where that was asked for.
    """

    accepted: list[int]
    refused: list[int]
    most_in_flight: int
    learned: str = ""

    def goodput(self, first: int, last: int) -> float:
        """Return accepted calls a second between two seconds."""
        return sum(self.accepted[first:last]) / (last - first)

    def refused_share(self, first: int, last: int) -> float:
        """Return the share of calls that were refused between two seconds."""
        refused = sum(self.refused[first:last])
        return refused / max(1, refused + sum(self.accepted[first:last]))


class Stage:
    """A broker, a store and LivePerson; workers come and go. One limit is measured at a time."""

    def __init__(self, stack: ExitStack, *simulator: str) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.server = RedisServer(folder).start()
        stack.callback(self.server.stop)
        self.store: Redis = self.server.client()
        stack.callback(self.store.close)
        self.liveperson = stack.enter_context(SimulatorProcess("--close-at-once", *simulator))

    def clean(self, **limits: float | None) -> None:
        """Forget every run before, and set LivePerson's limits."""
        self.store.flushall()
        self.liveperson.control("reset")
        self.limit(**limits)

    def limit(self, **limits: float | None) -> None:
        """Change LivePerson's limits."""
        nothing = {"rate": None, "burst": None, "maxConcurrent": None}
        self.liveperson.control("limits", {**nothing, **limits})

    def refuse(self, *, share: float = 0, consumers: Iterable[str] = (), times: int = 1) -> None:
        """Answer a share of the calls with 429, or the next ones of some consumers."""
        self.liveperson.control("faults", {"probabilities": {"too_many_requests": share}})
        for consumer in consumers:
            fault = {"consumer": consumer, "fault": "too_many_requests", "times": times}
            self.liveperson.control("faults", fault)

    def fill(self, jobs: Iterable[Mapping[str, Any]]) -> None:
        """Put jobs on the queue."""
        enqueue(self.server.url, jobs)

    def fill_plain(self, count: int) -> None:
        """Put tasks on plain Celery's queue."""
        app = Celery("plain", broker=self.server.url)
        with app.producer_pool.acquire() as producer:
            for number in range(count):
                app.send_task("benchmarks.limit_celery.create", (f"c-{number}",), producer=producer)
        app.close()

    @contextmanager
    def overture(self, count: int, **settings: object) -> Iterator[list[WorkerProcess]]:
        """Run workers of ours."""
        with ExitStack() as stack:
            yield [
                stack.enter_context(WorkerProcess(self._settings(settings), concurrency=SLOTS))
                for _ in range(count)
            ]

    @contextmanager
    def celery(self, count: int, *, rate_limit: str = "") -> Iterator[None]:
        """Run plain Celery workers, which retry after a second and may have a `rate_limit`."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BENCH_BROKER_URL": self.server.url,
            "BENCH_API_URL": self.liveperson.url,
            "BENCH_RATE_LIMIT": rate_limit,
        }
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR")
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.limit_celery", "worker"]
        command += ["-P", "threads", "-c", str(SLOTS), *quiet]
        with tempfile.TemporaryFile() as log:
            processes = [
                subprocess.Popen(
                    [*command, "-n", f"{number}@bench"],
                    env=environment,
                    cwd=tempfile.gettempdir(),
                    stdout=log,
                    stderr=log,
                )
                for number in range(count)
            ]
            try:
                yield
            finally:
                for process in processes:
                    process.kill()
                for process in processes:
                    process.wait()

    def watch(self, seconds: float, *, account: str = ACCOUNT) -> Seen:
        """Let the pool work for so long from its first call on, and return what LivePerson saw."""
        wait_until(self.first_second, "the first call arrives", seconds=30)
        time.sleep(max(0.0, self.first_second() + seconds + 1 - time.time()))
        return self.seen(account)

    def first_second(self, account: str = ACCOUNT) -> int:
        """Return when the first call came, in Unix seconds; 0 before it."""
        return min((row["second"] for row in self._seconds(account)), default=0)

    def seen(self, account: str = ACCOUNT) -> Seen:
        """Return what LivePerson saw so far."""
        rows = {row["second"]: row for row in self._seconds(account)}
        whole = range(min(rows, default=0), max(rows, default=-1) + 1)
        empty = {"accepted": 0, "throttled": 0}
        return Seen(
            [rows.get(second, empty)["accepted"] for second in whole],
            [rows.get(second, empty)["throttled"] for second in whole],
            self.liveperson.stats()["total"]["maxConcurrent"],
        )

    def _seconds(self, account: str) -> list[dict[str, int]]:
        accounts = self.liveperson.stats()["accounts"]
        rows: list[dict[str, int]] = accounts.get(account, {}).get("perSecond", [])
        return rows

    def _settings(self, settings: Mapping[str, object]) -> dict[str, object]:
        common: dict[str, object] = {
            "broker_url": self.server.url,
            "store_url": self.server.url,
            "domain_api_url": self.liveperson.url,
            "trusted_hosts": "127.0.0.1",
        }
        if not any(name.startswith("accounts__") for name in settings):
            common |= {
                "account_id": ACCOUNT,
                "client_id": "demo-client",
                "client_secret": "demo-secret",
            }
        return {**common, **settings}


def jobs(
    count: int, *, account: str = "", first: int = 0, consumers: int = CONSUMERS
) -> Iterator[dict[str, Any]]:
    """Make jobs of consumers who come round again."""
    for number in range(first, first + count):
        job = {"jobId": f"{account}-{number}", "consumerId": f"consumer-{number % consumers}"}
        yield {**job, "accountId": account} if account else job
