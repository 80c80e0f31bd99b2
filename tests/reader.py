"""Somebody who follows the documents: types their commands, each where it belongs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.waiting import wait_until
from tests.worker_process import environment

END_SECONDS: Final = 45

# What a reader starts in a terminal of its own, and what it then says or does.
SERVICES: Final = {
    "overture simulate": "simulator ready",
    "overture worker": "worker.ready",
    "celery --quiet -A worker.app worker": "worker.ready",
    "overture watch": "",
    "overture exporter": "exporter.ready",
    "prometheus --config.file": "Server is ready to receive web requests",
    "overture console": "the console is at",
    "examples/send_stage.py": "",
}


class Reader:
    """Types commands into terminals: variables last, services run on until the end."""

    def __init__(self, folder: Path, variables: Mapping[str, object]) -> None:
        self._folder = folder
        self._environment = environment(variables)
        path = f"{folder / '.venv/bin'}{os.pathsep}{self._environment['PATH']}"
        # The variables of this project's own folder are not a reader's.
        for name in ("PYTHONPATH", "PYTHONSAFEPATH", "OVERTURE_LOG_FORMAT"):
            del self._environment[name]
        self._environment["PATH"] = path
        self._services: list[tuple[str, subprocess.Popen[bytes], Path]] = []

    def set(self, **variables: str) -> None:
        """Set variables of ours."""
        self._environment |= {
            f"OVERTURE_{name.upper()}": value for name, value in variables.items()
        }

    def type(self, line: str) -> str:
        """Run a line, and return what it wrote; one that serves runs on."""
        if line.startswith("export "):
            assignments = (word.partition("=") for word in shlex.split(line)[1:])
            self._environment |= {name: value for name, _, value in assignments}
            return ""
        for service, ready in SERVICES.items():
            if service in line:
                self._serve(line, ready)
                return ""
        done = subprocess.run(
            ["bash", "-c", line],
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def leave(self) -> dict[str, int]:
        """Stop what serves, the newest first; returns each one's exit status."""
        statuses = {}
        for line, process, _ in reversed(self._services):
            process.send_signal(signal.SIGINT if "watch" in line else signal.SIGTERM)
            statuses[line] = process.wait(END_SECONDS)
        self._services.clear()
        return statuses

    def kill(self) -> None:
        """End whatever is left."""
        for line, process, output in self._services:
            process.kill()
            process.wait()
            print(line, output.read_text(errors="replace")[-3000:], sep="\n")

    def _serve(self, line: str, ready: str) -> None:
        output = self._folder / f"output-{len(self._services)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self._services.append((line, process, output))
        wait_until(
            lambda: process.poll() is not None or ready in output.read_text(errors="replace"),
            f"{line} is ready",
            seconds=30,
        )
        assert process.poll() is None, output.read_text(errors="replace")
