"""Standard error that stops nobody: a line that cannot be written is dropped, and counted.

A full disk, a reader that is gone and a terminal that was closed fail every write; a pipe that
nobody reads keeps its writer for ever. None of this is a reason to lose a job.
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
# So much may wait for a slow reader; a worker writes a megabyte in a few seconds at most.
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
# At its end a process waits so long for its last lines to be written, in seconds.
LAST_LINES_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.005

log = structlog.get_logger()


class Unfailing(io.RawIOBase):
    """A descriptor whose writes never fail; `dropped` is how many lines could not be written."""

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
        """Tell that it takes what is written."""
        return True

    def write(self, octets: ReadableBuffer, /) -> int:
        """Write as much as can be written."""
        whole = bytes(octets)
        self._write_out(whole)
        return len(whole)

    def _write_out(self, whole: bytes) -> bool:
        """Write lines; False if some of them had to be dropped."""
        # What follows half a line begins a new one.
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
                # Another process that has the same descriptor wants it so.
                select.select([], [self._descriptor], [])

    def _drop(self, lines: bytes) -> None:
        with self._lock:
            self.dropped += lines.count(b"\n") + (not lines.endswith(b"\n"))


class InBackground(Unfailing):
    """The same for a thread of its own to write, so that a reader that does not read keeps nobody.

    It takes up to MAX_WAITING_BYTES, and drops what comes then.
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
        """Have lines written in a moment."""
        whole = bytes(octets)
        if threading.current_thread() is self._thread:
            self._is_told = self._write_out(whole)
            return len(whole)
        # The collector, or a signal, can have this thread write while it writes.
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
        """Wait until everything is written, for LAST_LINES_SECONDS at most."""
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
            elif self._write_out(b"".join(lines)) and self.dropped > self._told:
                self._tell()

    def _tell(self) -> None:
        """Say what was dropped, now that lines can be written; later, if this one cannot be."""
        dropped = self.dropped
        log.warning("log.lines_dropped", lines=dropped - self._told)
        if self._is_told:
            self._told = dropped


_background: InBackground | None = None


def protect() -> None:
    """Keep what is wrong with standard error from this process; for its very beginning.

    A standard descriptor that is closed is opened, to be the number of nothing else: writing to
    standard output then fails, as it should, and what goes to standard error is gone.
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
    """Let nothing that this process writes keep it: not even a pipe that nobody reads.

    For a worker, which has nothing to say on standard output: both streams become one. Where they
    are not those of `protect`, they are somebody else's to change.
    """
    global _background  # noqa: PLW0603 - a process has one standard error
    if not isinstance(getattr(sys.stderr, "buffer", None), Unfailing):
        return
    _background = InBackground(STANDARD_ERROR)
    sys.stdout = sys.stderr = _text(_background)
    atexit.register(write_last_lines)


def write_last_lines() -> None:
    """Wait, for LAST_LINES_SECONDS at most, until what was written is out; before `os._exit`."""
    if _background is not None:
        _background.write_last()


def dropped_lines() -> int:
    """Return how many lines of this process's log could not be written."""
    return 0 if _background is None else _background.dropped


def _text(raw: Unfailing) -> TextIO:
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    # It takes whole writes, as a buffer does.
    buffer: Any = raw
    return io.TextIOWrapper(
        buffer,
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
