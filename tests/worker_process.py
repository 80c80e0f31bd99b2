"""A real worker process for tests: `overture worker`, with its log kept for reading."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
END_SECONDS = 45.0


class WorkerProcess:
    """One worker; `settings` are its variables, without their prefix."""

    def __init__(self, settings: Mapping[str, object], *, concurrency: int = 16) -> None:
        self._command = [
            sys.executable,
            "-m",
            "console",
            "worker",
            "--concurrency",
            f"{concurrency}",
        ]
        self._environment = environment(settings)
        self._output = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - it lives as long as the worker

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._output.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind is not None:
            print(self.output()[-6000:])  # pytest shows it beside the failure
        self._output.close()

    def start(self) -> None:
        """Start it and wait until it takes messages."""
        before = len(self.events("worker.ready"))
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )
        wait_until(
            lambda: self.process.poll() is not None or len(self.events("worker.ready")) > before,
            "the worker is ready",
            seconds=30,
        )
        assert self.process.poll() is None, self.output()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to drain; returns its exit status."""
        self.process.terminate()
        return self.process.wait(END_SECONDS)

    def output(self) -> str:
        """Return everything it has written."""
        return os.pread(self._output.fileno(), 50_000_000, 0).decode(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return its log lines of this name."""
        lines = [line for line in self.output().splitlines() if f'"{name}"' in line]
        return [entry for entry in map(json.loads, lines) if entry["event"] == name]


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return the variables of a process of ours: these settings, and nobody else's."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OVERTURE_")}
    ours = {f"OVERTURE_{name.upper()}": str(value) for name, value in settings.items()}
    python = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    return {**inherited, **python, "OVERTURE_LOG_FORMAT": "json", **ours}
