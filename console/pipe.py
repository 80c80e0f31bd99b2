"""Standard output as a pipe: what is written there is only on its way, until its reader takes it.

`head -1` reads as much as there is, shows one line and goes. So each line is written when the one
before was taken, and nobody is taken to have a line that still lies in the pipe.
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

# A reader that takes nothing for so long is no longer waited for at each line, in seconds: it may
# be somebody who reads a page, or a program that reads when this one has ended.
MAX_WAIT_SECONDS: Final = 10.0
# Between two looks at whether a line was taken, in seconds: the first, and the longest.
MIN_POLL_SECONDS: Final = 0.0001
MAX_POLL_SECONDS: Final = 0.005


def is_pipe(descriptor: int) -> bool:
    """Tell whether a reader sits at the other end."""
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


class Pipe:
    """Takes lines of UTF-8, and knows how much of them was read; `stop` ends every wait."""

    is_fresh = True

    def __init__(self, descriptor: int, *, stop: threading.Event) -> None:
        self._descriptor = descriptor
        self._stop = stop
        self._is_late = False
        self.written = 0

    def close(self) -> None:
        """Leave it open: it is the process's own."""

    def write(self, line: str) -> None:
        """Write a line. Raises OutputClosed or Problem."""
        left = memoryview(f"{line}\n".encode())
        with writing():
            while left:
                sent = os.write(self._descriptor, left)
                self.written += sent
                left = left[sent:]

    def commit(self) -> None:
        """Wait until the reader has taken everything, unless it is late already.

        Raises OutputClosed where it has gone without doing so.
        """
        if not self._is_late:
            self.finish()
        self._is_late = self._unread() > 0 and self._is_late

    def finish(self) -> None:
        """Wait until the reader has taken everything, or takes nothing any more.

        Raises OutputClosed where it has gone.
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
        """Return how many bytes the reader has taken."""
        return self.written - self._unread()

    def _unread(self) -> int:
        count = array.array("i", [0])
        try:
            fcntl.ioctl(self._descriptor, termios.FIONREAD, count)
        except OSError:
            # Where the system does not say, what was written counts as read.
            return 0
        return count[0]
