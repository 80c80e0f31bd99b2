"""One run of one contestant, measured."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.brokers import Servers
from benchmarks.contestant import Case, Process, environment, fill, producer, progress, worker
from benchmarks.fake_api import FakeApi
from benchmarks.jobs import CONSUMERS
from benchmarks.machine import cpu_seconds, members, pss_mib
from config.names import RESULTS_QUEUE

WARM_UP = CONSUMERS
POLL_SECONDS = 0.02
MEMORY_SECONDS = 0.5
MAX_WAIT_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run came to; processor times are microseconds for one conversation."""

    rate: float
    worker_cpu: float
    broker_cpu: float
    store_cpu: float
    pss: float


class Stalled(Exception):
    """The contestant stopped making progress."""


def run(case: Case, servers: Servers, api: FakeApi) -> Measured:
    """Fill the queue, start the worker, and measure from the warm-up's end to the last job."""
    servers.clean()
    api.set_latency(case.latency)
    total = WARM_UP + case.jobs
    fill(case.name, servers, api, total)
    with worker(case, servers, api, total) as process, progress(case, servers, api) as done:
        return measure([process], servers, done, WARM_UP, total)


def measure(
    processes: Sequence[Process],
    servers: Servers,
    done: Callable[[], int],
    first: int,
    last: int,
) -> Measured:
    """Measure workers from when `first` jobs are done until `last` are. Raises Stalled."""
    wait(lambda: done() >= first, processes)
    before, counted = _reading(processes, servers), done()
    pss, looked = 0.0, 0.0

    def finished() -> bool:
        nonlocal pss, looked
        if time.monotonic() - looked > MEMORY_SECONDS:
            pss, looked = max(pss, memory(processes)), time.monotonic()
        return done() >= last

    wait(finished, processes)
    after, count = _reading(processes, servers), done() - counted
    seconds, *cpu = (b - a for a, b in zip(before, after, strict=True))
    worker_cpu, broker_cpu, store_cpu = (round(1e6 * used / count, 1) for used in cpu)
    return Measured(
        rate=round(count / seconds, 1),
        worker_cpu=worker_cpu,
        broker_cpu=broker_cpu,
        store_cpu=store_cpu,
        pss=round(pss, 1),
    )


def memory(processes: Sequence[Process]) -> float:
    """Return what the workers hold, in MiB of PSS."""
    return pss_mib([pid for process in processes for pid in members(process.pid)])


def wait(holds: Callable[[], bool], processes: Sequence[Process]) -> None:
    """Wait until something holds. Raises Stalled when it does not, or a worker has ended."""
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while not holds():
        if time.monotonic() > deadline or any(one.poll() is not None for one in processes):
            raise Stalled
        time.sleep(POLL_SECONDS)


def lone(case: Case, servers: Servers, api: FakeApi) -> list[float]:
    """Return how long single jobs take in an idle pipeline, less the API's own time, in ms."""
    servers.clean()
    api.set_latency(case.latency)
    queue = RESULTS_QUEUE if case.name == "overture" else "results"
    with worker(case, servers, api, 0):
        time.sleep(2.0)  # the contestants have no common sign of being ready
        output = subprocess.run(
            producer(case.name, "lone", queue, str(case.jobs)),
            env=environment(servers, api),
            stdout=subprocess.PIPE,
            check=True,
            timeout=MAX_WAIT_SECONDS,
        ).stdout
    return [milliseconds - case.latency for milliseconds in json.loads(output)]


def _reading(processes: Sequence[Process], servers: Servers) -> tuple[float, float, float, float]:
    pids = [pid for process in processes for pid in members(process.pid)]
    return time.monotonic(), cpu_seconds(pids), servers.broker_cpu(), servers.store_cpu()
