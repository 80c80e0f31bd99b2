"""Whole worker processes on the Redis transport, and what they did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.redis_transport.transport import worker_url

ROOT = Path(__file__).parents[1]


class RedisWorker:
    """One worker process with a pool of threads."""

    def __init__(
        self,
        url: str,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        *,
        threads: int = 4,
        on_ours: bool = True,
    ) -> None:
        surroundings = {
            "BROKER_URL": worker_url(url) if on_ours else url,
            "EVENTS": str(folder / "events"),
            "CRASHED": str(folder / "crashed"),
            "PYTHONPATH": str(ROOT),
            **{name: str(value) for name, value in (settings or {}).items()},
        }
        command = f"celery -A tests.redis_worker_app worker -P threads -c {threads} -l warning"
        without = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with (folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command.split(), *without],
                cwd=ROOT,
                env={**os.environ, **surroundings},
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Return its exit status."""
        return self.process.wait(seconds)


class Events:
    """What the workers of a test wrote down."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "events"

    def _lines(self) -> list[list[str]]:
        text = self._file.read_text() if self._file.exists() else ""
        return [line.split() for line in text.splitlines()]

    def count(self, kind: str) -> Counter[int]:
        """Return how often each job started, or ended."""
        return Counter(int(words[1]) for words in self._lines() if words[0] == kind)

    def ended(self) -> set[int]:
        """Return the jobs that were done."""
        return set(self.count("end"))

    def redelivered(self) -> set[int]:
        """Return the jobs that said they were not new."""
        return {int(words[1]) for words in self._lines() if words[2] == "again"}
