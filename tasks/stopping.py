"""The two phases of a graceful stop."""

from __future__ import annotations

import threading


class Stopping(Exception):
    """The worker stops: the job must be handed back."""


class Shutdown:
    """For the whole process: `draining` is set when nothing new may begin, then `over`.

    Between the two, requests that were sent are finished and recorded.
    """

    def __init__(self) -> None:
        self.draining = threading.Event()
        self.over = threading.Event()

    def sleep(self, seconds: float) -> None:
        """Wait in a slot. Raises Stopping when the worker begins to drain."""
        if self.draining.wait(seconds):
            raise Stopping
