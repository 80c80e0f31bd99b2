"""The workers of a run: real processes, each in a place of its own, that can be broken."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import count, cycle
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
STOP_SECONDS: Final = 60.0
READY: Final = b"worker.ready"
MAX_CRASHES: Final = 200
COMMAND: Final = (sys.executable, "-m", "console", "worker")


class Worker:
    """One worker process; what it logs is in a file of its own."""

    def __init__(self, log: Path, environment: Mapping[str, str], code: Path = ROOT) -> None:
        self.log = log
        self.is_frozen = False
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                COMMAND,
                env={**os.environ, **environment, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def is_running(self) -> bool:
        """Tell whether the process is there, frozen or not."""
        return self.process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Tell whether it has begun to take jobs; before that a signal ends it like any process."""
        return READY in self.log.read_bytes()

    def fill_log(self) -> None:
        """Let it write nothing more to its log: to it, the disk is full."""
        self._limit_files(self.log.stat().st_size)

    def clear_log(self) -> None:
        """Let it write to its log again."""
        self._limit_files(resource.RLIM_INFINITY)

    def kill(self) -> None:
        """End it with `kill -9`."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self.is_frozen = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.is_frozen = False
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to drain and to end."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int | None:
        """Return its exit status; None where it had to be killed."""
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def _limit_files(self, size: int) -> None:
        # Beyond the size a write fails with EFBIG; Python ignores the signal that goes with it.
        with suppress(ProcessLookupError):
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, -1))


class Crew:
    """The worker at each place; one that ends is replaced, as a supervisor would."""

    def __init__(
        self, folder: Path, size: int, environment: Mapping[str, str], beside: Path | None = None
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._number = count()
        self._codes = cycle((ROOT, beside or ROOT))
        self.workers = [self._new(place) for place in range(size)]
        self.leaving: list[Worker] = []
        # How those ended that were asked to: 0 is the only good answer.
        self.exits: list[int | None] = []
        self.crashes: list[int] = []

    def kill(self, place: int) -> None:
        """Kill a worker and put a new one in its place."""
        self.workers[place].kill()
        self.workers[place] = self._new(place)

    def terminate(self, place: int) -> bool:
        """Let a worker drain, while a new one begins in its place; False if it is not ready yet."""
        leaving = self.workers[place]
        if not leaving.is_ready:
            return False
        if leaving.is_frozen:
            leaving.thaw()
        leaving.terminate()
        self.leaving.append(leaving)
        self.workers[place] = self._new(place)
        return True

    def look_after(self) -> None:
        """Note how those ended that were to end, and replace those that were not."""
        for worker in [one for one in self.leaving if not one.is_running]:
            self.leaving.remove(worker)
            self.exits.append(worker.wait())
        for place, worker in enumerate(self.workers):
            if not worker.is_running:
                self.crashes.append(worker.process.returncode)
                assert len(self.crashes) <= MAX_CRASHES, f"workers do not stay up: {worker.log}"
                self.workers[place] = self._new(place)

    def thaw(self) -> None:
        """Let every frozen worker go on, and every worker write its log."""
        for worker in self.workers:
            if worker.is_frozen:
                worker.thaw()
            worker.clear_log()

    def stop(self) -> None:
        """Let all of them drain and end."""
        self.thaw()
        for worker in self.workers:
            if worker.is_ready:
                worker.terminate()
                self.leaving.append(worker)
            else:
                worker.kill()
        self.exits += [worker.wait() for worker in self.leaving]
        self.leaving.clear()

    def kill_all(self) -> None:
        """Leave no process behind."""
        for worker in (*self.workers, *self.leaving):
            if worker.is_running:
                worker.kill()

    def log_lines(self) -> list[str]:
        """Return everything that the workers logged."""
        return [
            line
            for path in sorted(self._folder.glob("worker-*.log"))
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        ]

    def _new(self, place: int) -> Worker:
        log = self._folder / f"worker-{next(self._number):03}-at-{place}.log"
        return Worker(log, self._environment, next(self._codes))
