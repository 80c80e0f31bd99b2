"""Standard error that never fails or blocks: a line that cannot be written is dropped and counted.

With a full disk, a dead reader or a closed terminal every write fails, and a pipe that nobody reads
blocks its writer for ever. None of this may lose a job.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD_INPUT: Final = 0
STANDARD_ERROR: Final = 2
# How much may wait for a slow reader; a worker writes a megabyte in a few seconds at most.
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
# How long a process waits at its end for its last lines to be written.
LAST_LINES_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.005
# For how long lines gather after a write: to wake this thread costs the one that logs more than a
# line does.
GATHER_SECONDS: Final = 0.01

log = structlog.get_logger()


class Unfailing(io.RawIOBase):
    """A descriptor whose writes never fail; `dropped` counts the lines that were not written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_torn = False
        self._lock = threading.RLock()
        self.dropped = 0

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, octets: ReadableBuffer, /) -> int:
        """Write what can be written, and drop the rest."""
        whole = bytes(octets)
        self._write_out(whole)
        return len(whole)

    def _write_out(self, whole: bytes) -> bool:
        """Write lines; False if some were dropped."""
        # After half a line begin a new one.
        is_torn, self._is_torn = self._is_torn, False
        left = memoryview(b"\n" + whole if is_torn else whole)
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError:
            written = len(whole) + is_torn - len(left)
            self._is_torn = is_torn if not written else whole[: written - is_torn][-1:] != b"\n"
            self._drop(bytes(left[is_torn and not written :]))
            return False
        return True

    def _write_some(self, left: memoryview) -> int:
        while True:
            try:
                return os.write(self._descriptor, left)
            except BlockingIOError:
                # Another process has made the descriptor non-blocking.
                select.select([], [self._descriptor], [])

    def _drop(self, lines: bytes) -> None:
        with self._lock:
            self.dropped += lines.count(b"\n") + (not lines.endswith(b"\n"))


class InBackground(Unfailing):
    """The same, written by a thread of its own, so that no other thread waits for a slow reader.

    It buffers up to MAX_WAITING_BYTES, and drops what comes then.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_asleep = False
        self._is_called = threading.Lock()
        self._is_called.acquire()
        self._told, self._is_told = 0, True
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, octets: ReadableBuffer, /) -> int:
        """Queue lines to be written."""
        whole = bytes(octets)
        if threading.current_thread() is self._thread:
            self._is_told = self._write_out(whole)
            return len(whole)
        # A reentrant lock: the collector or a signal can make a thread log while it logs.
        with self._lock:
            if self._waiting_bytes + len(whole) > MAX_WAITING_BYTES:
                self._drop(whole)
                return len(whole)
            self._waiting.append(whole)
            self._waiting_bytes += len(whole)
            if self._is_asleep:
                self._is_asleep = False
                self._is_called.release()
        return len(whole)

    def write_last(self) -> None:
        """Wait until everything is written, at most LAST_LINES_SECONDS."""
        deadline = time.monotonic() + LAST_LINES_SECONDS
        while not self._is_asleep and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _run(self) -> None:
        while True:
            with self._lock:
                lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
                self._is_asleep = not lines
            if not lines:
                self._is_called.acquire()
                continue
            if self._write_out(b"".join(lines)) and self.dropped > self._told:
                self._tell()
            time.sleep(GATHER_SECONDS)

    def _tell(self) -> None:
        """Log how many lines were dropped, now that writing works; again later, if it does not."""
        dropped = self.dropped
        log.warning("log.lines_dropped", lines=dropped - self._told)
        if self._is_told:
            self._told = dropped


_background: InBackground | None = None


def protect() -> None:
    """Make standard error unfailing, first thing in a process.

    A closed standard descriptor is opened, so that no other file gets its number: writing to
    standard output then fails, as it should, and what goes to standard error is dropped.
    """
    for descriptor in range(STANDARD_INPUT, STANDARD_ERROR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            mode = os.O_WRONLY if descriptor == STANDARD_ERROR else os.O_RDONLY
            opened = os.open(os.devnull, mode)
            os.dup2(opened, descriptor)
            if opened != descriptor:
                os.close(opened)
    sys.stderr = _text(Unfailing(STANDARD_ERROR))


def write_in_background() -> None:
    """Write standard error in the background, so that no pipe can block this process.

    For a worker, which writes nothing to standard output: both streams become one. Does nothing
    unless `protect` was called.
    """
    global _background  # noqa: PLW0603 - a process has one standard error
    if not isinstance(getattr(sys.stderr, "buffer", None), Unfailing):
        return
    _background = InBackground(STANDARD_ERROR)
    sys.stdout = sys.stderr = _text(_background)
    atexit.register(write_last_lines)


def write_last_lines() -> None:
    """Wait until all lines are written, at most LAST_LINES_SECONDS; call it before `os._exit`."""
    if _background is not None:
        _background.write_last()


def dropped_lines() -> int:
    """Return how many lines of this process's log were dropped."""
    return 0 if _background is None else _background.dropped


def _text(raw: Unfailing) -> TextIO:
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    # It always writes all, as TextIOWrapper expects of its buffer.
    buffer: Any = raw
    return io.TextIOWrapper(
        buffer,
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
