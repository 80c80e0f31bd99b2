"""A broker as a run uses it: put messages on, look how many are left, read what came out.

The harness talks to the server itself, not through the proxy that the workers have to live with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from config.names import JOBS_QUEUE, account_queue
from tests.chaos.on_rabbitmq import RabbitBroker
from tests.chaos.on_valkey import ValkeyBroker
from tests.chaos.plan import BrokerName, Plan
from tests.chaos.received import Received
from tests.chaos.submissions import Submission, account_ids
from tests.sentinel_servers import WatchedServers
from worker.broker.brokers import broker_at


class Broker(Protocol):
    """A broker of a run's own."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def url(self) -> str:
        """Its URL."""

    def url_at(self, port: int) -> str:
        """Return its URL by way of a proxy."""

    def denied(self) -> set[str]:
        """Name what workers were not allowed to do."""

    def restart(self, *, orderly: bool, down: float) -> None:
        """End it, in good order or as a power cut would, and start it again after a while."""

    def stop(self) -> None:
        """End it."""

    def submit(self, submissions: Iterable[Submission]) -> None:
        """Put messages on the jobs queue, each of them confirmed."""

    def waiting(self) -> int:
        """Count the jobs that are ready, put off, or (where it says so) in a worker's hand."""

    def came_out(self) -> int:
        """Count the messages that came out."""

    def read(self) -> Iterator[Received]:
        """Read everything that came out."""


def start_broker(name: BrokerName, folder: Path, plan: Plan, stores: object) -> Broker:
    """Start a broker and declare everything on it; a store behind Sentinels is the broker, too."""
    started: Broker
    if name == "rabbitmq":
        started = RabbitBroker(folder, nodes=plan.broker_nodes, restricted=plan.restricted)
    else:
        watched = stores if isinstance(stores, WatchedServers) else None
        started = ValkeyBroker(
            folder, has_replica=plan.field > 0, restricted=plan.restricted, watched=watched
        )
    broker = broker_at(started.url)
    with broker.connection() as connection:
        broker.declare(connection, [JOBS_QUEUE, *map(account_queue, account_ids(plan.accounts))])
    return started
