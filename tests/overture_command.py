"""The command `overture` as its users call it: a process, with settings of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import IO, Any

from tests.worker_process import environment

COMMAND_SECONDS = 60.0


def overture(
    *arguments: str, settings: Mapping[str, object], stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; it runs where the test runs, in a folder of its own."""
    process = subprocess.run(
        [sys.executable, "-m", "console", *arguments],
        env=environment(settings),
        input=stdin,
        capture_output=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert b"Traceback" not in process.stderr, process.stderr.decode()
    return subprocess.CompletedProcess(
        process.args, process.returncode, process.stdout.decode(), process.stderr.decode()
    )


def start_overture(
    *arguments: str, settings: Mapping[str, object], stdout: IO[Any] | int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start a command that goes on."""
    return subprocess.Popen(
        [sys.executable, "-m", "console", *arguments],
        env=environment(settings),
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
