"""The leases of the messages that this process took from a Redis server, renewed until settled.

Each server has one thread and one connection for this. Celery's event loop cannot do it: it stops
while a worker drains at its end, and while it reconnects to a lost broker. The jobs in hand go on
during both, and no other worker may get them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from time import monotonic, sleep
from typing import Any, Final, Literal, NamedTuple

from redis import Redis

from tasks.store.replies import classify
from worker.broker.redis.layout import Layout, queue_script

# How often an unreachable server is tried again. It must be often: leases have to be renewed before
# other consumers reconnect and find them expired.
RETRY_SECONDS: Final = 0.25
RENEWALS_PER_LEASE: Final = 3

Verb = Literal["ack", "requeue", "defer", "renew"]

logger = logging.getLogger(__name__)


class Operation(NamedTuple):
    """One change to a lease; `ms` is the delay of "defer" or the length of "renew"."""

    verb: Verb
    queue: str
    lease: str
    ms: int = 0


class LeaseKeeper:
    """Renews the leases in hand, and settles them in the background. For any thread.

    A settled message is out of hand at once. The thread sends settlements to the server, many in
    one command, and repeats what failed. That is never more than was in hand when the server went
    away.
    """

    def __init__(
        self, connect: Callable[[], Redis], *, layout: Layout, lease_seconds: float
    ) -> None:
        self._connect = connect
        self._layout = layout
        self._lease_ms = int(lease_seconds * 1000)
        self._renewal_seconds = lease_seconds / RENEWALS_PER_LEASE
        self._renew_at = 0.0
        # Reentrant: a signal handler may settle while its own thread holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._held: dict[str, str] = {}
        self._orphans: set[str] = set()
        self._pending: list[Operation] = []
        self._sending = False
        self._users = 0
        self._thread: threading.Thread | None = None

    @property
    def orphans(self) -> int:
        """How many leases in hand have lost their channel; their jobs still run here."""
        return len(self._orphans)

    def attach(self) -> None:
        """Register one more channel, which keeps the thread alive."""
        with self._changed:
            self._users += 1

    def detach(self, seconds: float) -> None:
        """Unregister a channel, after waiting at most `seconds` for pending settlements."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending and not self._sending, seconds)
            self._users -= 1
            self._changed.notify_all()

    def hold(self, leases: Mapping[str, str]) -> None:
        """Renew leases, given as lease to queue, until each is settled."""
        with self._changed:
            if not self._held:
                self._renew_at = monotonic() + self._renewal_seconds
                self._changed.notify_all()
            self._held.update(leases)
            self._ensure_thread()

    def settle(self, verb: Verb, lease: str, *, seconds: float = 0.0) -> None:
        """Acknowledge, requeue or defer a message. Only the first settlement counts."""
        with self._changed:
            self._orphans.discard(lease)
            queue = self._held.pop(lease, None)
            if queue is not None:
                self._pending.append(Operation(verb, queue, lease, int(seconds * 1000)))
                self._ensure_thread()
                self._changed.notify_all()

    def orphan(self, leases: Iterable[str]) -> None:
        """Note that the channel of these leases is gone, while their jobs still run."""
        # Copied first: other threads settle meanwhile. A settled lease is no orphan.
        with self._changed:
            self._orphans.update(lease for lease in list(leases) if lease in self._held)

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        client = self._connect()
        settle = queue_script(client, "queue_settle")
        is_away = False
        while operations := self._wait():
            try:
                self._forget(settle(*self._arguments(operations)))
                is_away = False
            except Exception as error:  # noqa: BLE001 - nothing may end the renewals
                if not is_away:
                    trouble = classify(error)
                    logger.warning(
                        "Redis was not told of what is in hand, repeating: %s (%s)",
                        trouble.cause,
                        trouble.todo or trouble.kind,
                    )
                is_away = True
                self._repeat(operations)
                client.connection_pool.disconnect()
                sleep(RETRY_SECONDS)
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()
        client.connection_pool.disconnect()

    def _wait(self) -> list[Operation]:
        """Wait for operations and return them; returns none once the thread is not needed."""
        with self._changed:
            while not self._pending and not self._is_renewal_due():
                if not self._held and not self._users:
                    self._thread = None
                    return []
                seconds = self._renew_at - monotonic() if self._held else None
                self._changed.wait(seconds)
            operations, self._pending = self._pending, []
            if self._is_renewal_due():
                self._renew_at = monotonic() + self._renewal_seconds
                operations += [
                    Operation("renew", queue, lease, self._lease_ms)
                    for lease, queue in self._held.items()
                ]
            self._sending = True
            return operations

    def _is_renewal_due(self) -> bool:
        return bool(self._held) and monotonic() >= self._renew_at

    def _arguments(self, operations: list[Operation]) -> tuple[list[str], list[Any]]:
        queues = list(dict.fromkeys(operation.queue for operation in operations))
        numbers = {queue: number for number, queue in enumerate(queues, start=1)}
        arguments: list[Any] = [len(self._layout.steps), *self._layout.steps]
        for verb, queue, lease, ms in operations:
            arguments += verb, numbers[queue], lease, ms
        return self._layout.keys(queues), arguments

    def _forget(self, gone: list[bytes]) -> None:
        if gone:
            logger.warning("%d leases had run out: their messages may run again", len(gone))
        with self._changed:
            for lease in gone:
                self._held.pop(lease.decode(), None)

    def _repeat(self, operations: list[Operation]) -> None:
        with self._changed:
            self._pending[:0] = [operation for operation in operations if operation.verb != "renew"]
            self._renew_at = 0.0


_keepers: dict[Hashable, LeaseKeeper] = {}


def keeper_for(server: Hashable, make: Callable[[], LeaseKeeper]) -> LeaseKeeper:
    """Return this process's keeper for a server; it outlives connections and channels."""
    if server not in _keepers:
        _keepers[server] = make()
    return _keepers[server]
