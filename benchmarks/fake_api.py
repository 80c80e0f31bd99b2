"""The API that every contestant calls: compiled from `fake_api.c`, so that it costs little."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).with_name("fake_api.c")


def compiler() -> str:
    """Find a C compiler; without one, name the program that is missing."""
    return next(filter(shutil.which, ("cc", "gcc", "clang")), "cc")


class FakeApi:
    """The C program as a process, for the length of a `with` block."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        program = Path(self._folder.name) / "fake_api"
        compile_it = [compiler(), "-O2", "-o", str(program), str(SOURCE)]
        subprocess.run(compile_it, check=True)
        self.process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        port = self.process.stdout.readline().split()[-1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()

    def set_latency(self, milliseconds: float) -> None:
        """Let every CONVERSATION call take so long."""
        self._control(f"latency/{milliseconds}")

    def conversations(self) -> int:
        """Return how many conversations it has opened."""
        return self._control("counts")["conversations"]

    def in_flight(self) -> int:
        """Return how many calls it has not answered yet."""
        return self._control("counts")["inFlight"]

    def _control(self, path: str) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/control/{path}", timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        return counts
