"""Retries calls while the store or the broker is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from tasks.stopping import Stopping
from tasks.store.connection import StoreError
from tasks.store.replies import Trouble, classify, report

# Delays between retries, in seconds; the last one repeats.
STORE_PAUSES_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)

T = TypeVar("T")


def retry_store(call: Callable[[], T], *, until: threading.Event) -> T:
    """Retry a store call until it succeeds.

    Raises Stopping once `until` is set, and StoreError for an error of our own, which a retry would
    not mend.
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


def retry_at_start(call: Callable[[], T], say: Callable[[Trouble, float], None]) -> T:
    """Retry a call at the start while the server is not ready yet.

    It may be loading its data, not promoted yet, or out of memory. Raises any other error.
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
