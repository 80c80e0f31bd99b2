"""Who takes part, and one run of one contestant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.brokers import Depth, Servers
from benchmarks.fake_api import FakeApi
from benchmarks.jobs import CONSUMERS, jobs
from benchmarks.machine import cpu_seconds, members, pss_mib
from config.queues import JOBS_EXCHANGE_NAME, JOBS_QUEUE, RESULTS_QUEUE
from worker.messaging import broker
from worker.messaging.confirms import ConfirmedProducer, Outgoing

ROOT = Path(__file__).resolve().parent.parent
# Contestants other than Overture run in an environment of their own.
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
NAMES = ("overture", "bare", "celery", "dramatiq", "taskiq")
WARM_UP = CONSUMERS
LOOK_SECONDS = 0.02
MEMORY_SECONDS = 0.5
PATIENCE_SECONDS = 90.0
BATCH = 500

Process = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is run: who, against which latency (ms), with how many jobs at a time."""

    broker: str
    name: str
    latency: int
    concurrency: int
    jobs: int


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
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline or any(one.poll() is not None for one in processes):
            raise Stalled
        time.sleep(LOOK_SECONDS)


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
            timeout=PATIENCE_SECONDS,
        ).stdout
    return [milliseconds - case.latency for milliseconds in json.loads(output)]


def fill(name: str, servers: Servers, api: FakeApi, count: int) -> None:
    """Put the jobs on the queue, in the form in which the contestant takes them."""
    if name == "bare":
        return
    if name != "overture":
        command = producer(name, "fill", "0", str(count))
        subprocess.run(command, env=environment(servers, api), check=True)
        return
    with broker.connection(servers.broker.url) as connection:
        confirmed = ConfirmedProducer(connection)
        batch: list[Outgoing] = []
        for job in jobs(count):
            body = json.dumps(job).encode()
            batch.append(
                Outgoing(
                    exchange=JOBS_EXCHANGE_NAME,
                    routing_key=JOBS_QUEUE,
                    body=body,
                    message_id=job["jobId"],
                )
            )
            if len(batch) == BATCH:
                confirmed.publish(batch)
                batch = []
        confirmed.publish(batch)


@contextmanager
def worker(case: Case, servers: Servers, api: FakeApi, total: int) -> Iterator[Process]:
    """Run the contestant's worker, which leads a session of all its processes."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            _command(case, total),
            env=environment(servers, api, case.concurrency),
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


def _command(case: Case, total: int) -> list[str]:
    slots = str(case.concurrency)
    module = f"benchmarks.contestants.{case.name}"
    python = str(PYTHON)
    match case.name:
        case "overture":
            return [sys.executable, "-m", "worker", "worker", "--concurrency", slots]
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


def producer(name: str, *arguments: str) -> list[str]:
    """Return the command of a contestant's producer."""
    return [str(PYTHON), "-m", "benchmarks.contestants.produce", name, *arguments]


def environment(servers: Servers, api: FakeApi, concurrency: int = 1) -> dict[str, str]:
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


def _reading(processes: Sequence[Process], servers: Servers) -> tuple[float, float, float, float]:
    pids = [pid for process in processes for pid in members(process.pid)]
    return time.monotonic(), cpu_seconds(pids), servers.broker_cpu(), servers.store_cpu()
