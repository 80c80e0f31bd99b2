"""Where a command's data goes: a file, or standard output. Complaints go to standard error."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from console.problem import OutputClosed, Problem


class Output:
    """Takes lines of UTF-8; what was committed survives this process, and in a file the machine."""

    def __init__(self, path: Path | None, *, append: bool) -> None:
        """Append to a file where what it holds may be nowhere else by now; else write it anew."""
        self._name = str(path or "standard output")
        if path is None and sys.stdout is None:
            raise Problem("standard output is closed, so nothing can be written")
        with self._failures():
            self._own = path.open("ab" if append else "wb") if path else None
            self._file: BinaryIO = self._own or sys.stdout.buffer
            self._is_file = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
            size = path.stat().st_size if path and self._is_file else 0
            self.is_fresh = size == 0
            self.written = self._arrived = 0
            if path and size and not _ends_in_newline(path, size):
                # A line that was cut short was never acknowledged, so it comes again, whole.
                self._file.write(b"\n")

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._own is not None:
            with self._failures():
                self._own.close()

    def write(self, line: str) -> None:
        """Write a line."""
        octets = f"{line}\n".encode()
        with self._failures():
            self._file.write(octets)
        self.written += len(octets)

    def commit(self) -> None:
        """Have everything written arrive where it goes."""
        with self._failures():
            self._file.flush()
            if self._is_file:
                os.fsync(self._file.fileno())
        self._arrived = self.written

    def finish(self) -> None:
        """Have everything written arrive."""
        self.commit()

    def arrived(self) -> int:
        """Return how many bytes of what was written have arrived."""
        return self._arrived

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            raise Problem(f"{self._name} cannot be written: {error.strerror}") from None


def _ends_in_newline(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
