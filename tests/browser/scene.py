"""What the console has to show in a browser: real processes, and jobs of every kind of outcome."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks.store.connection import Keys, connect
from tests.broker_client import BrokerClient
from tests.jobs import ACCOUNT, ONE_ACCOUNT
from tests.overture_command import overture, start_overture
from tests.redis_server import RedisServer, free_port
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

PASSWORD: Final = "correct horse battery"
SETTINGS: Final[dict[str, object]] = {**ONE_ACCOUNT, "max_rate": 20, "retry_schedule": "0.3,0.6"}
# So slow that jobs are still waiting when the last picture is taken.
SLOW_RATE: Final = 2
SECONDS: Final = 120.0
FAULTS: Final = {"bad_request_as_200": 3, "server_error": 2}
# More often than a job is tried.
ALWAYS: Final = 50
PAST: Final = "2026-01-01T00:00:00Z"
EXPIRED: Final = 2
WAITING: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Consoles with data behind them, and the ids by which their pages are found."""

    url: str
    locked_url: str
    submission: str
    consumer: str
    letter: str


@contextmanager
def scene(folder: Path, *, jobs: int) -> Iterator[Scene]:
    """Play a scene with so many jobs in its largest file; half of them have been done."""
    with ExitStack() as stack:
        simulator = stack.enter_context(
            SimulatorProcess("--seed", "1", "--latency", "60:30", "--rate", "80")
        )
        server = RedisServer(folder).start()
        stack.callback(server.stop)
        settings = {**SETTINGS, "broker_url": server.url, "domain_api_url": simulator.url}
        client = stack.enter_context(BrokerClient(server.url))
        for _ in range(2):
            stack.enter_context(WorkerProcess(settings, concurrency=24))
        _fill_hour(server)
        _play(settings, client, simulator, folder, jobs)
        yield Scene(
            url=stack.enter_context(_console(settings)),
            locked_url=stack.enter_context(_console({**settings, "console_password": PASSWORD})),
            submission="spring-campaign",
            consumer=_consumer(0),
            letter="order-server_error-0",
        )


def _fill_hour(server: RedisServer) -> None:
    """Count jobs in the minutes before, as if the workers had run all the hour."""
    keys, minute = Keys(ACCOUNT), int(time.time() // 60)
    with connect(server.url) as store:
        for ago in range(2, 60):
            name = f"{keys.counts}:{minute - ago}"
            wave = math.sin(ago / 9)
            store.hset(name, "created", str(int(420 + 150 * wave + 37 * ago % 60)))
            store.hset(name, "reused", str(12 + ago % 7))
            if 20 < ago < 27 or ago % 13 == 0:
                store.hset(name, "failed:rejected", str(1 + 5 * ago % 8))
            store.pexpire(name, 1000 * 60 * (66 - ago))


def _consumer(number: int) -> str:
    return f"c-{number:08d}-1d7b-4f5e-8a5b-0f2d6c1e9a01"


def _play(
    settings: dict[str, object],
    client: BrokerClient,
    simulator: SimulatorProcess,
    folder: Path,
    jobs: int,
) -> None:
    letters = _failing(simulator)
    client.put(letters)
    overture("pause", "--submission", "autumn-campaign", settings=settings)
    _submit(settings, folder / "autumn.csv", "autumn-campaign", range(jobs, jobs + WAITING))
    # A row in twenty is of a customer who has a conversation by then: the row before.
    rows = [number - (number % 20 == 1) for number in range(jobs)]
    _submit(settings, folder / "spring.csv", "spring-campaign", rows)
    wait_until(lambda: _ended(settings, "spring-campaign") >= jobs // 2, "half", seconds=SECONDS)
    overture("limits", "set", "--max-rate", str(SLOW_RATE), settings=settings)
    wait_until(lambda: _letters(settings) >= len(letters), "dead letters", seconds=SECONDS)
    wait_until(lambda: _rate(settings) <= SLOW_RATE, "the new pace", seconds=SECONDS)


def _failing(simulator: SimulatorProcess) -> list[dict[str, Any]]:
    """Make jobs that end as dead letters, and have their requests fail."""
    made = [
        {"jobId": f"order-late-{number}", "consumerId": f"late-{number}", "expiresAt": PAST}
        for number in range(EXPIRED)
    ]
    for fault, count in FAULTS.items():
        for number in range(count):
            consumer = f"{fault}-{number}"
            plan = {"consumer": consumer, "fault": fault, "times": ALWAYS}
            simulator.control("faults", plan)
            made.append({"jobId": f"order-{consumer}", "consumerId": consumer})
    return made


def _submit(
    settings: dict[str, object], path: Path, name: str, consumers: list[int] | range
) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["consumerId", "onOpenConversation", "metadata"])
        for row, number in enumerate(consumers):
            when_open = "reuse" if row % 40 == 1 else "fail"
            writer.writerow([_consumer(number), when_open, json.dumps({"row": row})])
    with chdir(path.parent):
        done = overture("submit", path.name, "--name", name, settings=settings)
    assert done.returncode == 0, done.stderr


def _ended(settings: dict[str, object], name: str) -> int:
    shown = overture("submissions", "show", name, "--format", "json", settings=settings)
    return sum(json.loads(shown.stdout)["outcomes"].values()) if shown.returncode == 0 else 0


def _letters(settings: dict[str, object]) -> int:
    listed = overture("dead-letters", "list", "--format", "json", settings=settings).stdout
    return len(json.loads(listed))


def _rate(settings: dict[str, object]) -> float:
    status = json.loads(overture("status", "--format", "json", settings=settings).stdout)
    return float(status["accounts"][0]["perSecond"])


@contextmanager
def _console(settings: dict[str, object]) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    process = start_overture("console", "--address", address, settings=settings)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().decode().startswith("the console is at ")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.communicate()
