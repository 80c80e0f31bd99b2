"""Standard output as a pipe: a written line counts only once its reader has taken it.

`head -1` reads as much as there is, shows one line and ends. So each line is written only when the
one before was read, and a line that is still in the pipe counts as lost.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import stat
import termios
import threading
import time
from typing import Final

from console.output import OutputClosed, writing

# After this long without reading, a reader is no longer waited for at each line: it may be a pager,
# or a program that reads only when this one has ended.
MAX_WAIT_SECONDS: Final = 10.0
# Between two checks whether a line was read: the first, and the longest time.
MIN_POLL_SECONDS: Final = 0.0001
MAX_POLL_SECONDS: Final = 0.005


def is_pipe(descriptor: int) -> bool:
    """Tell whether a descriptor is a pipe."""
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


class Pipe:
    """Writes lines of UTF-8, and knows how much of them was read; `stop` ends every wait."""

    is_fresh = True

    def __init__(self, descriptor: int, *, stop: threading.Event) -> None:
        self._descriptor = descriptor
        self._stop = stop
        self._is_late = False
        self.written = 0

    def close(self) -> None:
        """Do nothing: standard output stays open."""

    def write(self, line: str) -> None:
        """Write a line. Raises OutputClosed or Problem."""
        left = memoryview(f"{line}\n".encode())
        with writing():
            while left:
                sent = os.write(self._descriptor, left)
                self.written += sent
                left = left[sent:]

    def commit(self) -> None:
        """Wait until the reader has read everything, unless it was too slow before.

        Raises OutputClosed if it has closed the pipe before that.
        """
        if not self._is_late:
            self.finish()
        self._is_late = self._unread() > 0 and self._is_late

    def finish(self) -> None:
        """Wait until the reader has read everything, or stops reading.

        Raises OutputClosed if it has closed the pipe.
        """
        gone = select.poll()
        gone.register(self._descriptor, 0)
        pause, last, since = MIN_POLL_SECONDS, self._unread(), time.monotonic()
        while (unread := self._unread()) > 0 and not self._stop.is_set():
            if unread != last:
                pause, last, since = MIN_POLL_SECONDS, unread, time.monotonic()
            self._is_late = time.monotonic() - since > MAX_WAIT_SECONDS
            if self._is_late:
                return
            if gone.poll(0):
                raise OutputClosed
            time.sleep(pause)
            pause = min(2 * pause, MAX_POLL_SECONDS)

    def arrived(self) -> int:
        """Return how many bytes the reader has read."""
        return self.written - self._unread()

    def _unread(self) -> int:
        count = array.array("i", [0])
        try:
            fcntl.ioctl(self._descriptor, termios.FIONREAD, count)
        except OSError:
            # If the system cannot tell, everything written counts as read.
            return 0
        return count[0]
