"""The two moments of a graceful stop, and how a call to a server waits, before it and between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from tasks.store.connection import StoreError
from tasks.store.replies import Trouble, classify, report

# Pauses between attempts at a store that is away, in seconds; the last one repeats.
STORE_PAUSES_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)

T = TypeVar("T")


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


def insist(call: Callable[[], T], *, until: threading.Event) -> T:
    """Call the store until it answers: without it nothing is sent, and nothing forgotten.

    Raises Stopping once `until` is set, and StoreError where the store is not to blame: another
    attempt would fare no better.
    """
    pauses = iter(STORE_PAUSES_SECONDS)
    while not until.is_set():
        try:
            return call()
        except StoreError as error:
            pause = next(pauses, STORE_PAUSES_SECONDS[-1])
            trouble = classify(error)
            report(trouble, retry_in=pause)
            if trouble.kind == "ours":
                raise
            until.wait(pause)
    raise Stopping


def outlast(call: Callable[[], T], say: Callable[[Trouble, float], None]) -> T:
    """Call a server at the start, for as long as it answers that it cannot do it yet.

    It loads its data, or was not promoted yet, or has no memory left. Raises what else is wrong.
    """
    pauses = iter(STORE_PAUSES_SECONDS)
    while True:
        try:
            return call()
        except Exception as error:
            trouble = classify(error)
            if not trouble.is_over_soon:
                raise
            pause = next(pauses, STORE_PAUSES_SECONDS[-1])
            say(trouble, pause)
            time.sleep(pause)
