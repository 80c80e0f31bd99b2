"""A private PostgreSQL for tests, on a socket of its own, with all its files in one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# Debian keeps the server's programs off the PATH.
FOLDERS: Final = (
    *(str(one) for one in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    os.environ.get("PATH", ""),
)
INITDB: Final = shutil.which("initdb", path=os.pathsep.join(FOLDERS))


def postgres_missing() -> str:
    """Say why there is no PostgreSQL to test with; empty when there is one."""
    return "" if INITDB else "PostgreSQL's server is not installed here"


class PostgresServer:
    """A server for the length of a `with` block. It refuses to run as root, and changes user."""

    def __enter__(self) -> Self:
        assert INITDB is not None
        # Not in pytest's folder, which nobody but its owner may enter.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self.url = f"postgresql:///postgres?host={self._folder}&user=test"
        self._run(INITDB, "--username=test", "--auth=trust", "--no-sync", self._data)
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder}"
        control = str(Path(INITDB).with_name("pg_ctl"))
        log = str(self._folder / "log")
        self._control = [control, "--pgdata", self._data, "--log", log, "--options", options]
        self._run(*self._control, "--wait", "start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(*self._control, "--mode=immediate", "stop")
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, *command: str) -> None:
        subprocess.run(
            command, user=self._user, cwd="/", stdout=subprocess.DEVNULL, check=True, timeout=60
        )
