"""The supervisor of one embedded Valkey server: starts it, restarts it, ends it when unused.

It is a process of its own, so that the server neither dies with the command that started it nor
stays for ever. Three lock files in the data directory show which processes live, since the kernel
releases the lock of a dead one: the users (shared), the supervisor, and the server, which inherits
its lock. Only the standard library is imported here, to keep the process small.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Final

USERS_LOCK: Final = "users.lock"
SUPERVISOR_LOCK: Final = "supervisor.lock"
SERVER_LOCK: Final = "server.lock"
STATE: Final = "server.json"
LOG: Final = "server.log"

# After this many failed starts in a row the supervisor gives up.
MAX_STARTS: Final = 3
# Long enough to load a large append-only file.
START_SECONDS: Final = 60.0
END_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 0.25
ANSWER_SECONDS: Final = 1.0
LOG_BYTES: Final = 1_000_000

CONFIGURATION: Final = """\
bind 127.0.0.1
port {port}
requirepass {password}
protected-mode yes
dir .
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
logfile {log}
"""


@dataclass(frozen=True, slots=True)
class State:
    """Port and password of a data directory's server; its process id is 0 until it is up."""

    port: int
    password: str
    pid: int = 0


def read_state(folder: Path) -> State | None:
    """Return the state of a data directory's server, or None if it does not run."""
    if not is_locked(folder / SERVER_LOCK):
        return None
    try:
        return State(**json.loads((folder / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_locked(path: Path) -> bool:
    """Tell whether a process has the exclusive lock."""
    with locked(path, fcntl.LOCK_SH) as got:
        return not got


@contextmanager
def locked(path: Path, how: int) -> Iterator[IO[str] | None]:
    """Lock a file while the block runs; yields None if it is locked by another process."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file


def main(folder: Path, program: str, linger_seconds: float) -> int:
    """Start server and supervisor, and return once the server is up; the supervisor is a child.

    Does nothing if there is another supervisor.
    """
    os.chdir(folder)
    os.umask(0o077)
    with locked(Path(SUPERVISOR_LOCK), fcntl.LOCK_EX) as alone:
        if not alone:
            return 0
        state = _run(program, read_state(Path()))
        if state is None:
            return 1
        if os.fork() == 0:
            _watch(program, state, linger_seconds)
    return 0


def _watch(program: str, state: State, linger_seconds: float) -> None:
    used_at = time.monotonic()
    try:
        while True:
            time.sleep(WATCH_SECONDS)
            with locked(Path(USERS_LOCK), fcntl.LOCK_EX) as unused:
                if not unused:
                    used_at = time.monotonic()
                elif time.monotonic() - used_at >= linger_seconds:
                    # A new user waits for the lock now, and then starts a new server.
                    _end(state)
                    return
            with suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
            if read_state(Path()) is None:
                state = _run(program, state) or state
            if Path(LOG).stat().st_size > LOG_BYTES:
                # The server reopens its log for every line.
                Path(LOG).replace(f"{LOG}.1")
    except OSError:
        # The folder is gone, or full: no server may run without a supervisor.
        _end(state)
        raise


def _run(program: str, known: State | None) -> State | None:
    """Start the server, on the known port if that is still free, unless it is up already."""
    state = known or State(_free_port(), secrets.token_hex(16))
    for _ in range(MAX_STARTS):
        _spawn(program, state)
        deadline = time.monotonic() + START_SECONDS
        while read_state(Path()) and time.monotonic() < deadline:
            if pid := _pid_if_up(state):
                state = replace(state, pid=pid)
                _write(state)
                return state
            time.sleep(WATCH_SECONDS / 10)
        # It died; most likely its port is in use.
        state = State(_free_port(), state.password)
    return None


def _spawn(program: str, state: State) -> None:
    """Start a server, unless this data directory has one."""
    with locked(Path(SERVER_LOCK), fcntl.LOCK_EX) as lock:
        if not lock:
            return
        _write(replace(state, pid=0))
        with Path(LOG).open("a") as log:
            server = subprocess.Popen(  # noqa: S603 - the server that `worker.embedded.server` found
                [program, "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # The server has the lock from now on; the kernel releases it when the server dies.
                pass_fds=[lock.fileno()],
            )
        configuration = CONFIGURATION.format(port=state.port, password=state.password, log=LOG)
        assert server.stdin is not None  # It is a pipe, opened above.
        with suppress(BrokenPipeError), server.stdin as pipe:
            pipe.write(configuration.encode())


def _pid_if_up(state: State) -> int:
    with suppress(OSError):
        answer = _ask(state, "PING", "INFO server", "QUIT", seconds=ANSWER_SECONDS)
        if b"+PONG" in answer and (found := re.search(rb"process_id:(\d+)", answer)):
            return int(found[1])
    return 0


def _end(state: State) -> None:
    try:
        _ask(state, "SHUTDOWN", seconds=END_SECONDS)
    except TimeoutError:
        os.kill(state.pid, signal.SIGKILL)
    except OSError:
        return


def _ask(state: State, *commands: str, seconds: float) -> bytes:
    """Return all that the server answers until it closes the connection."""
    lines = "".join(f"{command}\r\n" for command in (f"AUTH {state.password}", *commands))
    with socket.create_connection(("127.0.0.1", state.port), timeout=seconds) as connection:
        connection.sendall(lines.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _write(state: State) -> None:
    new = Path(f"{STATE}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(asdict(state)))
    new.replace(STATE)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
