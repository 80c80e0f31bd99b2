"""Celery's own worker as a process, for an application of the tests that notes what it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.celery_events import Events
from tests.worker_process import ROOT


class CeleryWorker:
    """One worker with a pool of threads.

    `app` is a module of the tests, `variables` what it reads of its surroundings, `options` are
    Celery's. Its log and its events are in `folder`.
    """

    def __init__(
        self, app: str, folder: Path, variables: Mapping[str, object], *options: str, threads: int
    ) -> None:
        self.events = Events(folder)
        surroundings = {"EVENTS": self.events.file, "PYTHONPATH": ROOT, **variables}
        command = f"celery -A tests.{app} worker -P threads -c {threads}"
        with (folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", *command.split()),
                    *("--without-gossip", "--without-mingle", *options),
                ],
                cwd=ROOT,
                env={**os.environ, **{name: str(value) for name, value in surroundings.items()}},
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
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Return its exit status."""
        return self.process.wait(seconds)
