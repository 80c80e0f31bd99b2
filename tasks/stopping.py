"""The two moments of a graceful stop."""

from __future__ import annotations

import threading


class Stopping(Exception):
    """The worker stops: what is in hand is to be handed back."""


class Shutdown:
    """Set once and for the whole process: `draining`, when nothing new may begin; then `over`.

    Between the two, what was sent is still brought to its end.
    """

    def __init__(self) -> None:
        self.draining = threading.Event()
        self.over = threading.Event()

    def sleep(self, seconds: float) -> None:
        """Wait in a slot. Raises Stopping when the worker begins to drain."""
        if self.draining.wait(seconds):
            raise Stopping
