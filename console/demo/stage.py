"""The demo's surroundings: an embedded server, the simulator and two workers, in a folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from console.demo.sample import ACCOUNTS
from worker.embedded.server import ensure_server, wait_until_ended

WORKERS: Final = 2
SLOTS: Final = 32
WORKER_LOG: Final = "worker-{}.log"
CLIENT_ID: Final = "demo-client"
CLIENT_SECRET: Final = "demo-secret"  # noqa: S105 - the simulator's, and of no use anywhere else
# The simulator's limits; they are lower than the workers' settings, which have to learn them.
LIMITS: Final = ("--rate", "30", "--burst", "10")
SIMULATOR_OPTIONS: Final = ("--port", "0", "--seed", "1", "--latency", "80:40", *LIMITS)
# The workers' settings, with short retry delays, so that the demo is short.
SETTINGS: Final[dict[str, object]] = {
    "max_rate": 40,
    "max_in_flight": 20,
    "retry_schedule": "0.5,1,2",
    "read_timeout": 3,
    "log_format": "json",
}
READY: Final = re.compile(r"simulator ready on (http://\S+)")
# The embedded server ends this soon after its last user, in seconds.
LINGER_SECONDS: Final = 0.5
CONTROL_SECONDS: Final = 30.0
PAGE: Final = 5000


class StageError(Exception):
    """A part of the demo did not start; the text says which, and where its log is."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """The demo's simulator, through its control API."""

    url: str

    def plan_fault(self, consumer_id: str, name: str, times: int) -> None:
        """Make the next requests for a consumer fail."""
        self._call("faults", {"consumer": consumer_id, "fault": name, "times": times})

    def stats(self) -> dict[str, Any]:
        """Return its counts, over all accounts."""
        total: dict[str, Any] = self._call("stats")["total"]
        return total

    def conversation_ids(self) -> set[str]:
        """Return the ids of all conversations that were ever opened."""
        found: set[str] = set()
        offset = 0
        while page := self._call(f"conversations?limit={PAGE}&offset={offset}")["conversations"]:
            found |= {conversation["conversationId"] for conversation in page}
            offset += len(page)
        return found

    def _call(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/control/{path}", data=data)  # noqa: S310 - our own simulator
        # Without the environment's proxy, which cannot reach this machine's ports.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=CONTROL_SECONDS) as answer:
            return json.load(answer)


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers of the demo."""

    server_url: str
    simulator: Simulator
    workers: tuple[subprocess.Popen[bytes], ...]
    folder: Path

    def demand_workers(self) -> None:
        """Raise StageError if a worker has ended."""
        for number, process in enumerate(self.workers, start=1):
            if process.poll() is not None:
                log = self.folder / WORKER_LOG.format(number)
                status = process.returncode
                raise StageError(f"worker {number} ended with status {status}: see {log}")


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Start everything, and end it all afterwards. Raises StageError, EmbeddedServerError."""
    with ExitStack() as stack:
        # The folder is removed afterwards, and the server writes into it until it has ended.
        stack.callback(wait_until_ended, folder / "data")
        server = stack.enter_context(ensure_server(folder / "data", linger_seconds=LINGER_SECONDS))
        simulator = stack.enter_context(_simulator(folder))
        environment = _environment(folder, simulator.url)
        command = ["console", "worker", "--concurrency", str(SLOTS)]
        logs = [folder / WORKER_LOG.format(number) for number in range(1, WORKERS + 1)]
        workers = [stack.enter_context(running(command, log, environment)) for log in logs]
        yield Stage(server.url, simulator, tuple(workers), folder)


@contextmanager
def _simulator(folder: Path) -> Iterator[Simulator]:
    accounts = [f"--account={one}:{CLIENT_ID}:{CLIENT_SECRET}" for one in ACCOUNTS]
    log = folder / "simulator.log"
    command = ["simulator", *SIMULATOR_OPTIONS, *accounts]
    with running(command, log, _environment(folder)) as process:
        while process.poll() is None:
            if ready := READY.search(log.read_text(errors="replace")):
                yield Simulator(ready[1])
                return
            time.sleep(0.05)
        raise StageError(f"the simulator did not start: see {log}")


def _environment(folder: Path, simulator_url: str | None = None) -> dict[str, str]:
    """Return variables without the user's own settings and proxy.

    A proxy cannot reach this machine's ports.
    """
    others = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OVERTURE_") and not name.upper().endswith("_PROXY")
    }
    root = str(Path(__file__).parents[2])
    environment = {**others, "PYTHONPATH": root, "PYTHONSAFEPATH": "1"}
    if simulator_url is None:
        return environment
    settings = {**SETTINGS, "data_dir": folder / "data", "domain_api_url": simulator_url}
    for account in ACCOUNTS:
        settings[f"accounts__{account}__client_id"] = CLIENT_ID
        settings[f"accounts__{account}__client_secret"] = CLIENT_SECRET
    ours = {f"OVERTURE_{name.upper()}": str(value) for name, value in settings.items()}
    return {**environment, **ours}


STOP_SECONDS: Final = 45.0


@contextmanager
def running(
    module: list[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our modules, its output in a file, and end it with the block."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with log.open("wb") as output, _uninterrupted():
            process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *module],
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for the demo, which then ends the others in order.
                start_new_session=True,
            )
        yield process
    finally:
        if process is not None:
            _end(process)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM to the end of the block, so that what it starts will be ended."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda *_: came.append(1))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
