"""A contestant's processes: how its queue is filled, how its worker runs, and what it has done."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.brokers import Depth, Servers
from benchmarks.chart import PYTHON, ROOT
from benchmarks.enqueue import enqueue
from benchmarks.fake_api import FakeApi
from benchmarks.jobs import jobs
from benchmarks.machine import members
from config.names import RESULTS_QUEUE

NAMES = ("overture", "bare", "celery", "dramatiq", "taskiq")

Process = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is run: who, against which latency (ms), with how many jobs at a time.

    Overture keeps to one processor by itself; `is_pinned` has a contestant kept there from outside.
    Overture is measured, and shows that, where it has a `metrics_address`; `is_timed` has it show
    what that costs.
    """

    broker: str
    name: str
    latency: int
    concurrency: int
    jobs: int
    is_pinned: bool = False
    metrics_address: str = ""
    is_timed: bool = False


def fill(name: str, servers: Servers, api: FakeApi, count: int) -> None:
    """Put the jobs on the queue, in the form in which the contestant takes them."""
    if name == "overture":
        enqueue(servers.broker.url, jobs(count))
    elif name != "bare":
        command = producer(name, "fill", "0", str(count))
        subprocess.run(command, env=environment(servers, api), check=True)


@contextmanager
def worker(case: Case, servers: Servers, api: FakeApi, total: int) -> Iterator[Process]:
    """Run the contestant's worker, which leads a session of all its processes."""
    with tempfile.TemporaryFile() as log:
        pin = ["taskset", "--cpu-list", "0"] if case.is_pinned else []
        process = subprocess.Popen(
            [*pin, *_command(case, total)],
            env={
                **environment(servers, api, case.concurrency),
                "OVERTURE_METRICS_ADDRESS": case.metrics_address,
            },
            cwd=tempfile.gettempdir(),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-3000:])
            raise
        finally:
            for pid in members(process.pid):
                os.kill(pid, 9)
            process.wait()


@contextmanager
def progress(case: Case, servers: Servers, api: FakeApi) -> Iterator[Callable[[], int]]:
    """Give what tells how many jobs are done: by their results, where there are any."""
    if case.name == "bare":
        before = api.conversations()
        yield lambda: api.conversations() - before
        return
    depth = Depth(servers, RESULTS_QUEUE if case.name == "overture" else "results")
    try:
        yield depth
    finally:
        depth.close()


def producer(name: str, *arguments: str) -> list[str]:
    """Return the command of a contestant's producer."""
    return [str(PYTHON), "-m", "benchmarks.contestants.produce", name, *arguments]


def environment(servers: Servers, api: FakeApi, concurrency: int = 1) -> dict[str, str]:
    """Return the variables of a contestant's processes."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OVERTURE_")}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
        "BENCH_API_URL": api.url,
        # Without its path: clients differ in how they write the default virtual host.
        "BENCH_BROKER_URL": servers.broker.url.removesuffix("//"),
        "BENCH_CONCURRENCY": str(concurrency),
        # Every safety is on; the limits are there, and high enough not to bind.
        "OVERTURE_BROKER_URL": servers.broker.url,
        "OVERTURE_STORE_URL": servers.store.url,
        "OVERTURE_ACCOUNT_ID": "12345678",
        "OVERTURE_CLIENT_ID": "bench",
        "OVERTURE_CLIENT_SECRET": "bench-secret",
        "OVERTURE_DOMAIN_API_URL": api.url,
        "OVERTURE_MAX_RATE": "100000",
        "OVERTURE_MAX_IN_FLIGHT": "10000",
        "OVERTURE_LOG_FORMAT": "json",
    }


def _command(case: Case, total: int) -> list[str]:
    slots = str(case.concurrency)
    module = f"benchmarks.contestants.{case.name}"
    python = str(PYTHON)
    match case.name:
        case "overture":
            program = "benchmarks.timed_worker" if case.is_timed else "console"
            return [sys.executable, "-m", program, "worker", "--concurrency", slots]
        case "bare":
            return [python, "-m", module, str(total)]
        case "celery":
            quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
            pool = ["-P", "threads", "-c", slots, "-Q", "jobs"]
            return [python, "-m", "celery", "-A", f"{module}_plain:app", "worker", *pool, *quiet]
        case "dramatiq":
            size = ["--processes", "1", "--threads", slots]
            return [python, "-m", "dramatiq", f"{module}_plain", *size]
        case _:
            size = ["--workers", "1", "--max-async-tasks", slots, "--log-level", "WARNING"]
            return [python, "-m", "taskiq", "worker", f"{module}_plain:broker", *size]
