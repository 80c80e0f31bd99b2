"""Where a command's data goes: a file, or standard output. Complaints go to standard error."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from worker.cli.problem import OutputClosed, Problem

# Between two looks at a pipe whose reader takes its time.
SHORTEST_PAUSE_MS: Final = 1
LONGEST_PAUSE_MS: Final = 64


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
            mode = os.fstat(self._file.fileno()).st_mode
            self._is_file, self.is_pipe = stat.S_ISREG(mode), stat.S_ISFIFO(mode)
            size = path.stat().st_size if path and self._is_file else 0
            self.is_fresh = size == 0
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
        with self._failures():
            self._file.write(f"{line}\n".encode())

    def commit(self) -> None:
        """Have everything written arrive where it goes: on disk, or at the reader of a pipe.

        Raises OutputClosed or Problem.
        """
        with self._failures():
            self._file.flush()
            if self._is_file:
                os.fsync(self._file.fileno())
            if self.is_pipe:
                _wait_until_read(self._file.fileno())

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            raise Problem(f"{self._name} cannot be written: {error.strerror}") from None


def _wait_until_read(pipe: int) -> None:
    """Wait until the other end has read all that is in a pipe. Raises OutputClosed."""
    reader = select.poll()
    reader.register(pipe, 0)
    pause = SHORTEST_PAUSE_MS
    while _unread(pipe):
        # What is still in there when its reader has gone is read by nobody.
        if reader.poll(pause) and _unread(pipe):
            raise OutputClosed
        pause = min(2 * pause, LONGEST_PAUSE_MS)


def _unread(pipe: int) -> int:
    """Count the bytes that are in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _ends_in_newline(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
