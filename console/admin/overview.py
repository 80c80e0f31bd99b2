"""What goes on: the queues, the accounts with their counts and limits, the workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from kombu.transport.native_delayed_delivery import MAX_LEVEL, level_name
from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE, account_queue
from config.settings import Settings
from config.urls import is_redis
from console.admin.records import known_accounts, troubles, workers_alive
from tasks.messages.outgoing import now
from tasks.store.connection import Keys, connect, text
from tasks.store.limits import Standing, read_standing
from worker.broker import broker
from worker.broker.redis.layout import queue_depths


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """How many messages a queue holds; None where this broker does not tell.

    `delayed` wait for their time, `unacked` are being worked on.
    """

    name: str
    ready: int
    delayed: int | None
    unacked: int | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known to be in it."""
        return not (self.ready or self.delayed or self.unacked)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """How many jobs of an account ended in which way, and what holds the others.

    The ceilings are None where neither the settings here nor any worker has named them.
    """

    account_id: str
    outcomes: dict[str, int]
    standing: Standing
    max_rate: float | None
    max_in_flight: int | None

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON shows it."""
        standing = self.standing
        return {
            "accountId": self.account_id,
            "outcomes": self.outcomes,
            "heldBy": standing.holds or None,
            "heldForSeconds": standing.seconds,
            "heldCause": standing.cause,
            "inFlight": standing.in_flight,
            "maxInFlight": self.max_in_flight,
            "learnedInFlight": standing.learned_in_flight,
            "perSecond": standing.accepted,
            "maxRate": self.max_rate,
            "learnedRate": standing.learned_rate,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One look at everything; `at` is RFC 3339. `delayed` counts all queues of the broker.

    `troubles` are what keeps single workers, such as an alarm of the broker, in their words.
    """

    at: str
    queues: list[QueueDepth]
    delayed: int
    accounts: list[AccountView]
    workers: list[str]
    troubles: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON shows it, with names like those of the messages."""
        return {
            "at": self.at,
            "queues": [asdict(queue) for queue in self.queues],
            "delayed": self.delayed,
            "accounts": [account.to_dict() for account in self.accounts],
            "workers": self.workers,
            "troubles": self.troubles,
        }


def take_overview(broker_url: str, store: Redis, settings: Settings) -> Overview:
    """Look at everything. Raises what the broker and the store raise."""
    accounts, workers = known_accounts(store, settings), workers_alive(store)
    names = [JOBS_QUEUE, *map(account_queue, accounts), RESULTS_QUEUE, DEAD_LETTERS_QUEUE]
    if is_redis(broker_url):
        queues, delayed = _redis_queues(broker_url, names)
    else:
        queues, delayed = _amqp_queues(broker_url, names)
    return Overview(
        at=now(),
        queues=[
            one for one in queues if not (one.is_empty and one.name.startswith(f"{JOBS_QUEUE}."))
        ],
        delayed=delayed,
        accounts=[view_account(store, settings, account_id) for account_id in accounts],
        workers=workers,
        troubles=troubles(store, workers),
    )


def view_account(store: Redis, settings: Settings, account_id: str) -> AccountView:
    """Look at one account. Raises StoreError."""
    standing = read_standing(store, account_id)
    rate, in_flight = standing.max_rate, standing.max_in_flight
    if account_id in settings.accounts:
        rate = rate or settings.rate_of(account_id)
        in_flight = in_flight or settings.in_flight_of(account_id)
    return AccountView(
        account_id=account_id,
        outcomes=_outcomes(store, account_id),
        standing=standing,
        max_rate=rate,
        max_in_flight=in_flight,
    )


def _outcomes(store: Redis, account_id: str) -> dict[str, int]:
    found = store.hgetall(Keys(account_id).counts)
    return {text(name): int(count) for name, count in sorted(found.items())}


def _redis_queues(broker_url: str, names: Iterable[str]) -> tuple[list[QueueDepth], int]:
    client = connect(broker_url, connections=1)
    try:
        depths = queue_depths(client, list(names))
    finally:
        client.close()
    queues = [
        QueueDepth(name=name, ready=one.ready, delayed=one.delayed, unacked=one.unacked)
        for name, one in depths.items()
    ]
    return queues, sum(one.delayed for one in depths.values())


def _amqp_queues(broker_url: str, names: Iterable[str]) -> tuple[list[QueueDepth], int]:
    with broker.connection(broker_url) as connection:
        queues = [
            QueueDepth(
                name=name,
                ready=broker.ready_messages(connection, name),
                delayed=None,
                unacked=None,
            )
            for name in names
        ]
        levels = (level_name(level) for level in range(MAX_LEVEL + 1))
        delayed = sum(broker.ready_messages(connection, name) for name in levels)
    return queues, delayed
