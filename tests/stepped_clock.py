"""A wall clock that a test sets back or forward, for a server of its own."""

from __future__ import annotations

import functools
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_suffix(".c")
COMPILER: Final = shutil.which("cc")


def clock_missing() -> str:
    """Say why no server's clock can be set here; empty where it can."""
    if sys.platform != "linux":
        return "a server's clock is set through LD_PRELOAD, which is Linux's"
    return "" if COMPILER else "setting a server's clock takes a C compiler"


class SteppedClock:
    """What a process reads as the time of day; its monotonic clock is the machine's own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._seconds = 0
        self.step(0)

    def environment(self) -> dict[str, str]:
        """Return the variables under which a process goes by this clock."""
        return {"LD_PRELOAD": str(_library()), "CLOCK_FILE": str(self._file)}

    def step(self, seconds: int) -> None:
        """Set it forward, or back, at once."""
        self._seconds += seconds
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("@q", self._seconds))


@functools.cache
def _library() -> Path:
    assert COMPILER is not None, clock_missing()
    built = Path(tempfile.mkdtemp()) / "stepped_clock.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", built, SOURCE], check=True)
    return built
