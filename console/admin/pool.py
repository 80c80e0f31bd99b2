"""The state of broker and store, read with an amount of work that does not grow with backlogs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE, account_queue
from config.settings import Settings
from console.admin.ages import Ages
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
    return BrokerView(queues=queues, delayed=delayed, enqueued_at=enqueued_at(broker, queues))


def queue_names(accounts: Sequence[str]) -> list[str]:
    """Return every queue that the pool uses."""
    return [JOBS_QUEUE, *map(account_queue, accounts), RESULTS_QUEUE, DEAD_LETTERS_QUEUE]


class OldestJobs:
    """How long the oldest ready job of each jobs queue has waited at least; asked again and again.

    What was there at the first look counts from then on, unless the job itself tells more.
    """

    def __init__(self) -> None:
        self._ages: defaultdict[str, Ages] = defaultdict(Ages)

    def look(
        self,
        queues: Sequence[QueueDepth],
        *,
        taken: Mapping[str, int],
        enqueued: Mapping[str, float],
    ) -> dict[str, float]:
        """Return the age by queue, in seconds.

        `taken` is what StoreView knows, and `enqueued` what `enqueued_at` found.
        """
        found = {}
        for queue in filter(_has_jobs, queues):
            age = self._ages[queue.name].look(
                waiting=queue.ready, taken=taken.get(queue.name, 0), now=time.monotonic()
            )
            at = enqueued.get(queue.name)
            found[queue.name] = age if at is None else max(age, time.time() - at)
        return found


def enqueued_at(broker: Broker, queues: Sequence[QueueDepth]) -> dict[str, float]:
    """Return when the next job of each queue was enqueued, as Unix time, where both tell that.

    Raises the broker's own errors.
    """
    if not broker.looks_only:
        return {}
    found = {
        one.name: _next_enqueued(broker, one) for one in queues if one.ready and _has_jobs(one)
    }
    return {name: at for name, at in found.items() if at is not None}


def _has_jobs(queue: QueueDepth) -> bool:
    # Nothing counts the messages that are taken from the others.
    return queue.name not in {RESULTS_QUEUE, DEAD_LETTERS_QUEUE}


def _next_enqueued(broker: Broker, queue: QueueDepth) -> float | None:
    with closing(broker.look(queue.name)) as messages:
        message = next(messages, None)
    said = message.headers.get(ENQUEUED_HEADER) if message else None
    try:
        return datetime.fromisoformat(said).timestamp() if isinstance(said, str) else None
    except ValueError:
        return None
