"""The pulse: a worker shows the others that it is alive, so that its claims count."""

from __future__ import annotations

import json
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from redis import Redis

from tasks.store.cluster import drop_idle
from tasks.store.connection import MILLISECONDS, Clock, StoreError, ask_with_clock, text
from tasks.store.replies import classify, count_error

BEAT_SECONDS: Final = 2.0
# When a failed beat is repeated.
MISSED_SECONDS: Final = 0.5
# A worker without a beat for this long is gone: others take over its jobs.
GONE_SECONDS: Final = 7.0
GONE_MS: Final = int(GONE_SECONDS * MILLISECONDS)
# The store's clock was set if it gained this much on ours between two readings.
SET_SECONDS: Final = 1.0
# The longest text about a worker's trouble.
MAX_CHARACTERS: Final = 300
# The prefix of each worker's key, and the set of all names, so that nobody has to search for them.
# A killed worker's name stays in the set until the next worker starts.
WORKER_PREFIX: Final = "overture:worker:"
WORKERS: Final = "overture:workers"
# How many messages all workers have ever taken from each queue.
TAKEN: Final = "overture:taken"

log = structlog.get_logger()


class Pulse:
    """Keeps this process's pulse in the store, and reads those of others.

    Owners are `<worker>/<number>`, one for each delivery that is worked on.
    """

    def __init__(
        self,
        store: Redis,
        *,
        trouble: Callable[[], str] = str,
        before: Callable[[], object] = str,
        taken: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """`trouble` returns what is wrong with this worker, or an empty text.

        `taken` returns how many messages it has taken from each queue. Both go out with each beat.
        `before` is called before each beat, the first one included.
        """
        self._store = store
        self._before = before
        self._trouble = trouble
        self._taken = taken
        self._about: Callable[[], Mapping[str, object]] = dict
        self._told: Mapping[str, int] = {}
        self._stop = threading.Event()
        self._numbers = 0
        self._lock = threading.Lock()
        self._shown_at = -math.inf
        # When each server's clock was last read, as monotonic seconds and as its milliseconds.
        self._read: dict[str, tuple[float, float]] = {}
        self._doubted_until = -math.inf
        self.worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self, about: Callable[[], Mapping[str, object]] = dict) -> None:
        """Start beating; each beat includes what `about` returns."""
        self._about = about
        self._thread.start()

    def stop(self, *, seconds: float) -> None:
        """End the pulse, so that the claims of this worker can be taken over at once.

        Waits until the store has it, at most `seconds`.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def owner(self) -> str:
        """Return a new owner, for one more delivery."""
        with self._lock:
            self._numbers += 1
            return f"{self.worker}/{self._numbers}"

    def is_alive(self, owner: str) -> bool:
        """Tell whether an owner's worker is alive. Raises StoreError.

        A change of the store's clock does not matter: set back, it keeps no dead worker alive, and
        set forward, it ends no live one.
        """
        worker = owner.partition("/")[0]
        if worker == self.worker:
            return True
        left, clock = ask_with_clock(self._store, _key(worker), "PTTL", _key(worker))
        if left > GONE_MS:
            self._store.pexpire(_key(worker), GONE_MS)
        return left > 0 or self._is_in_doubt(clock)

    def is_shown(self) -> bool:
        """Tell whether the others still see this worker, and so leave it its claims."""
        return time.monotonic() - self._shown_at < GONE_SECONDS

    def _is_in_doubt(self, clock: Clock) -> bool:
        """Tell whether a server's clock was set forward lately, so that all pulses ended early."""
        at = time.monotonic()
        with self._lock:
            read_at, read_ms = self._read.get(clock.server, (at, clock.now_ms))
            self._read[clock.server] = at, clock.now_ms
            if (clock.now_ms - read_ms) / MILLISECONDS - (at - read_at) > SET_SECONDS:
                self._doubted_until = at + GONE_SECONDS
            return at < self._doubted_until

    def _show(self) -> None:
        """Beat once, and read the store's clock."""
        self._before()
        at = time.monotonic()
        facts = {**self._about(), "trouble": self._trouble()[:MAX_CHARACTERS]}
        key, sign = _key(self.worker), json.dumps(facts)
        _, clock = ask_with_clock(self._store, key, "SET", key, sign, "PX", str(GONE_MS))
        self._is_in_doubt(clock)
        self._shown_at = at
        self._note()

    def _note(self) -> None:
        """Store this worker's name, and what it took; in a cluster they may be on other nodes."""
        pipe: Any  # redis-py gives this method no types
        with self._store.pipeline(transaction=False) as pipe:
            pipe.sadd(WORKERS, self.worker)
            taken = dict(self._taken())
            for queue, count in taken.items():
                pipe.hincrby(TAKEN, queue, count - self._told.get(queue, 0))
            pipe.execute()
        self._told = taken

    def _run(self) -> None:
        is_first = True
        while not self._stop.is_set():
            pause = BEAT_SECONDS
            try:
                self._show()
                if is_first:
                    forget_gone(self._store)
                    is_first = False
            except Exception as error:  # noqa: BLE001 - without a pulse a worker sends nothing
                trouble, pause = classify(error), MISSED_SECONDS
                count_error()
                log.warning("pulse.missed", kind=trouble.kind, error=trouble.cause)
                drop_idle(self._store)
            self._stop.wait(pause)
        try:
            self._store.delete(_key(self.worker))
            self._store.srem(WORKERS, self.worker)
        except StoreError as error:
            log.warning("pulse.left_behind", error=str(error)[:200])


def workers_seen(store: Redis) -> dict[str, dict[str, Any]]:
    """Return the live workers, and what each says about itself. Raises StoreError."""
    seen = sorted(_signs(store).items())
    return {worker: json.loads(sign or "{}") for worker, sign in seen if sign is not None}


def troubles_of(workers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the troubles of those workers that have any."""
    return {worker: said["trouble"] for worker, said in workers.items() if said.get("trouble")}


def forget_gone(store: Redis) -> None:
    """Delete the names of workers that were killed. Raises StoreError."""
    gone = [worker for worker, sign in _signs(store).items() if sign is None]
    if gone:
        store.srem(WORKERS, *gone)


def messages_taken(store: Redis) -> dict[str, int]:
    """Return how many messages workers have ever taken from each queue. Raises StoreError."""
    return {text(queue): int(count) for queue, count in store.hgetall(TAKEN).items()}


def _signs(store: Redis) -> dict[str, bytes | None]:
    """Return the pulse of every worker whose name is known."""
    workers = [text(one) for one in store.smembers(WORKERS)]
    pipe: Any  # redis-py gives this method no types
    with store.pipeline(transaction=False) as pipe:
        for worker in workers:
            pipe.get(_key(worker))
        return dict(zip(workers, pipe.execute(), strict=True))


def _key(worker: str) -> str:
    return f"{WORKER_PREFIX}{worker}"
