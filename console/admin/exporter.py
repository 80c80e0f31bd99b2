"""The pages of `overture exporter`: what the pool shares; docs/monitoring.md explains each metric.

Only that command imports it: prometheus-client is the extra `metrics`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from redis import Redis

from config.names import JOBS_QUEUE
from config.settings import Settings
from console.admin.looking import Looking
from console.admin.overview import AccountView
from console.admin.pool import BrokerView, OldestJobs, StoreView, view_broker, view_store
from tasks.store.limits import Holds
from worker.broker.base import Broker
from worker.metrics import build_info
from worker.serving import Page, well

# The timeout of each of the two servers in a scrape. Prometheus gives up after ten seconds.
SCRAPE_SECONDS: Final = 4.0
# The holds of an account; "rate" and "in_flight" are usual work.
HELD: Final = tuple(one for one in get_args(Holds) if one not in {"", "rate", "in_flight"})

Samples = Iterable[tuple[Sequence[str], float | None]]


class Exporter:
    """Reads broker and store at each scrape, and goes on if they are away."""

    def __init__(
        self, broker: Broker, store: Redis, settings: Settings, *, store_url: str, workers: int
    ) -> None:
        """`workers` is how many workers should run."""
        self._workers = workers
        self._accounts = sorted(settings.accounts)
        self._taken: dict[str, int] = {}
        self._ages = OldestJobs()
        self._lock = threading.Lock()
        self._store = Looking("store", store_url, lambda: view_store(store, settings))
        self._broker = Looking("broker", broker.url, lambda: view_broker(broker, self._accounts))

    def metrics(self, accept: str) -> Page:
        """Return the metrics in the format that the client accepts."""
        write, content_type = choose_encoder(accept)
        with self._lock:
            seen = _Seen(list(self._look()))
        return Page(body=write(seen), content_type=content_type)

    def health(self, _: str) -> Page:
        """Answer that it serves, and which server was away last; a restart would not help."""
        away = [one.server for one in (self._broker, self._store) if not one.is_up]
        return well(f"fine, but away: {', '.join(away)}" if away else "fine")

    def _look(self) -> Iterator[Metric]:
        store = self._store.look(seconds=SCRAPE_SECONDS)
        if store is not None:
            # Kept for the time when the store is away.
            self._accounts = [one.account_id for one in store.accounts]
            self._taken = dict(store.taken)
        broker = self._broker.look(seconds=SCRAPE_SECONDS)
        yield build_info()
        up = ("overture_server_up", "1 if the server answered this scrape.", ["server"])
        yield _gauge(*up, (([one.server], one.is_up) for one in (self._broker, self._store)))
        wanted = ("overture_workers_wanted", "How many workers there should be.")
        yield _gauge(*wanted, [], [([], self._workers)])
        if broker is not None:
            yield from self._queues(broker)
        if store is not None:
            yield from _pool(store)
            yield from _accounts(store.accounts)

    def _queues(self, view: BrokerView) -> Iterator[Metric]:
        yield _gauge(
            "overture_queue_messages",
            "Messages that are ready, delayed until their time, or unacked: in hand.",
            ["queue", "state"],
            _messages(view),
        )
        yield _gauge(
            "overture_queue_oldest_seconds",
            "How long the oldest job that is ready has waited, at least.",
            ["queue"],
            self._oldest(view),
        )

    def _oldest(self, view: BrokerView) -> Samples:
        ages = self._ages.look(view.queues, taken=self._taken, enqueued=view.enqueued_at)
        return (([name], age) for name, age in ages.items())


class _Seen(Collector):
    """The metrics of one scrape."""

    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self._found


def _gauge(name: str, words: str, labels: Sequence[str], samples: Samples) -> Metric:
    """Return a metric; a value of None has no sample."""
    family = GaugeMetricFamily(name, words, labels=labels)
    for values, number in samples:
        if number is not None:
            family.add_metric(values, number)
    return family


def _messages(view: BrokerView) -> Samples:
    for queue in view.queues:
        yield [queue.name, "ready"], queue.ready
        delayed = queue.delayed
        if delayed is None and queue.name == JOBS_QUEUE:
            # RabbitMQ's delayed queues are common to all jobs queues.
            delayed = view.delayed
        yield [queue.name, "delayed"], delayed
        yield [queue.name, "unacked"], queue.unacked


def _pool(view: StoreView) -> Iterator[Metric]:
    yield _gauge("overture_workers", "Workers that show themselves.", [], [([], view.workers)])


def _accounts(accounts: Sequence[AccountView]) -> Iterator[Metric]:
    yield _gauge(
        "overture_rate_limit",
        "Conversations per second: the ceiling, what was learned, and what is in force.",
        ["account", "kind"],
        (
            one
            for view in accounts
            for one in _limits(view.account_id, view.max_rate, view.standing.learned_rate)
        ),
    )
    yield _gauge(
        "overture_in_flight_limit",
        "Requests in flight: the ceiling, what was learned, and what is in force.",
        ["account", "kind"],
        (
            one
            for view in accounts
            for one in _limits(view.account_id, view.max_in_flight, view.standing.learned_in_flight)
        ),
    )
    yield _gauge(
        "overture_requests_in_flight",
        "Requests in flight at LivePerson.",
        ["account"],
        (([view.account_id], view.standing.in_flight) for view in accounts),
    )
    yield _gauge(
        "overture_account_held",
        "1 while the account's jobs wait for this reason.",
        ["account", "why"],
        (([view.account_id, why], view.standing.holds == why) for view in accounts for why in HELD),
    )
    yield _gauge(
        "overture_ledger_jobs",
        "Jobs of the ledger by how they ended; a replayed one has not ended.",
        ["account", "outcome", "code"],
        (
            ([view.account_id, outcome, code], number)
            for view in accounts
            for count, number in view.outcomes.items()
            for outcome, _, code in [count.partition(":")]
        ),
    )


def _limits(account_id: str, ceiling: float | None, learned: float | None) -> Samples:
    yield [account_id, "ceiling"], ceiling
    yield [account_id, "learned"], learned
    yield [account_id, "in_force"], min((one for one in (ceiling, learned) if one), default=None)
