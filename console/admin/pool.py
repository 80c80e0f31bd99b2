"""The state of broker and store, read with an amount of work that does not grow with backlogs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE, account_queue
from config.settings import Settings
from console.admin.overview import AccountView, view_account
from console.admin.records import known_accounts
from tasks.store.pulse import messages_taken, workers_seen
from worker.broker.base import Broker, QueueDepth
from worker.broker.delivery import ENQUEUED_HEADER


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """The pool's state in the store; `taken` is how many messages were ever taken of a queue."""

    accounts: Sequence[AccountView]
    workers: int
    taken: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerView:
    """The state of the broker's queues.

    `delayed` counts the delayed messages of all jobs queues together. `enqueued_at` is when the
    next message of a queue was enqueued, as Unix time, if broker and message tell that.
    """

    queues: Sequence[QueueDepth]
    delayed: int
    enqueued_at: Mapping[str, float]


def view_store(store: Redis, settings: Settings) -> StoreView:
    """Read the store. Raises StoreError."""
    return StoreView(
        accounts=[view_account(store, settings, one) for one in known_accounts(store, settings)],
        workers=len(workers_seen(store)),
        taken=messages_taken(store),
    )


def view_broker(broker: Broker, accounts: Sequence[str]) -> BrokerView:
    """Read the broker. Raises its connection's own errors."""
    queues, delayed = broker.depths(queue_names(accounts))
    enqueued = {one.name: _next_enqueued(broker, one) for one in queues}
    return BrokerView(
        queues=queues,
        delayed=delayed,
        enqueued_at={name: at for name, at in enqueued.items() if at is not None},
    )


def queue_names(accounts: Sequence[str]) -> list[str]:
    """Return every queue that the pool uses."""
    return [JOBS_QUEUE, *map(account_queue, accounts), RESULTS_QUEUE, DEAD_LETTERS_QUEUE]


def _next_enqueued(broker: Broker, queue: QueueDepth) -> float | None:
    if not queue.ready or not broker.looks_only:
        return None
    with closing(broker.look(queue.name)) as messages:
        message = next(messages, None)
    said = message.headers.get(ENQUEUED_HEADER) if message else None
    try:
        return datetime.fromisoformat(said).timestamp() if isinstance(said, str) else None
    except ValueError:
        return None
