"""The pulse: how a worker shows the others that it is alive, and so what it holds is held."""

from __future__ import annotations

import math
import os
import secrets
import threading
import time
from typing import Final

import structlog
from redis import Redis

from worker.store.connection import StoreError, ask
from worker.store.replies import classify

BEAT_SECONDS: Final = 2.0
# How soon a beat that failed is repeated, in seconds.
MISSED_SECONDS: Final = 0.5
# A worker that has not shown itself for so long is gone: others take its jobs over.
GONE_SECONDS: Final = 7.0
# Before the name of each worker that shows itself.
WORKER_PREFIX: Final = "overture:worker:"

log = structlog.get_logger()


class Pulse:
    """Keeps this process's sign of life in the store, and reads that of others.

    Owners are written `<worker>/<number>`, one for each delivery that is worked on.
    """

    def __init__(self, store: Redis) -> None:
        self._store = store
        self._stop = threading.Event()
        self._numbers = 0
        self._lock = threading.Lock()
        self._shown_at = -math.inf
        self.worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Show the first sign of life and keep it up."""
        self._thread.start()

    def stop(self, *, seconds: float) -> None:
        """Take the sign away, so that what is still held here can be taken over at once.

        Waits for the store to have heard it, for at most so many seconds.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def owner(self) -> str:
        """Return a name for the holder of one more delivery."""
        with self._lock:
            self._numbers += 1
            return f"{self.worker}/{self._numbers}"

    def is_alive(self, owner: str) -> bool:
        """Tell whether the worker behind an owner has shown itself lately. Raises StoreError."""
        worker = owner.partition("/")[0]
        return worker == self.worker or bool(ask(self._store, "EXISTS", _key(worker)))

    def is_shown(self) -> bool:
        """Tell whether the others still see this worker, and so leave it what it holds."""
        return time.monotonic() - self._shown_at < GONE_SECONDS

    def _run(self) -> None:
        while not self._stop.is_set():
            at, pause = time.monotonic(), BEAT_SECONDS
            try:
                self._store.set(_key(self.worker), 1, px=int(GONE_SECONDS * 1000))
                self._shown_at = at
            except Exception as error:  # noqa: BLE001 - whatever it was: unseen, a worker sends nothing
                trouble, pause = classify(error), MISSED_SECONDS
                log.warning("pulse.missed", kind=trouble.kind, error=trouble.cause)
                self._store.connection_pool.disconnect(inuse_connections=False)
            self._stop.wait(pause)
        try:
            self._store.delete(_key(self.worker))
        except StoreError as error:
            log.warning("pulse.left_behind", error=str(error)[:200])


def _key(worker: str) -> str:
    return f"{WORKER_PREFIX}{worker}"
