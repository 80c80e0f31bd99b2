"""Everything a run needs beside workers: servers, the simulator, a proxy before each of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redis import Redis
from redis.crc import key_slot

from tasks.store.cluster import primaries
from tasks.store.connection import Keys, connect
from tasks.store.records import fields_of
from tests.chaos.brokers import Broker, start_broker
from tests.chaos.on_valkey import restart_redis
from tests.chaos.plan import BrokerName, Plan
from tests.chaos.proxy import Proxy
from tests.chaos.redis_pair import RedisPair
from tests.chaos.submissions import account_ids
from tests.cluster_servers import ClusterServers
from tests.sentinel_servers import WatchedServers
from tests.simulator_client import CLIENT_ID, CLIENT_SECRET
from tests.simulator_process import SimulatorProcess

# Short enough that a run is; long enough in sum to outlast what is broken.
RETRY_SCHEDULE: Final = "0.2,0.5,0.8,1.5,2,3,4,5,5,5"
CONNECT_SECONDS: Final = 2.0
# A master that was replaced, and comes back before the Sentinels see it, takes no writes so.
TWO_COPIES: Final = {"min-replicas-to-write": 1, "min-replicas-max-lag": 10}
READ_SECONDS: Final = 3.0
DRAIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The servers of a run, and the proxies by which workers reach them."""

    broker: Broker
    stores: RedisPair | WatchedServers | ClusterServers
    simulator: SimulatorProcess
    to_broker: Proxy
    to_store: Proxy
    to_liveperson: Proxy

    @property
    def proxies(self) -> dict[str, Proxy]:
        """The proxies by the name of what stands behind them."""
        return {
            "broker": self.to_broker,
            "store": self.to_store,
            "liveperson": self.to_liveperson,
        }

    def environment(self, plan: Plan) -> dict[str, str]:
        """Return the settings of a worker."""
        accounts = {}
        for account_id in account_ids(plan.accounts):
            accounts[f"OVERTURE_ACCOUNTS__{account_id}__CLIENT_ID"] = CLIENT_ID
            accounts[f"OVERTURE_ACCOUNTS__{account_id}__CLIENT_SECRET"] = CLIENT_SECRET
        stores = self.stores
        store_url = (
            stores.url_at(self.to_store.port) if isinstance(stores, RedisPair) else stores.url
        )
        return {
            **accounts,
            "OVERTURE_BROKER_URL": self.broker.url_at(self.to_broker.port),
            "OVERTURE_STORE_URL": store_url,
            "OVERTURE_STORE_REPLICAS": str(plan.store_replicas),
            "OVERTURE_DOMAIN_API_URL": f"http://127.0.0.1:{self.to_liveperson.port}",
            "OVERTURE_TRUSTED_HOSTS": "127.0.0.1",
            "OVERTURE_CONCURRENCY": str(plan.concurrency),
            "OVERTURE_MAX_RATE": str(plan.max_rate),
            "OVERTURE_MAX_IN_FLIGHT": str(plan.max_in_flight),
            "OVERTURE_RETRY_SCHEDULE": RETRY_SCHEDULE,
            "OVERTURE_UNKNOWN_OUTCOME": plan.unknown_outcome,
            "OVERTURE_CONNECT_TIMEOUT": str(CONNECT_SECONDS),
            "OVERTURE_READ_TIMEOUT": str(READ_SECONDS),
            "OVERTURE_DRAIN_TIMEOUT": str(DRAIN_SECONDS),
            "OVERTURE_LOG_FORMAT": "json",
        }

    def restart_store(self, *, orderly: bool, down: float) -> None:
        """End the store, in good order or as a power cut would, and start it after a while."""
        assert isinstance(self.stores, RedisPair)
        restart_redis(self.stores.primary, orderly=orderly, down=down)

    def kill_master(self, *, down: float) -> None:
        """Kill the master that Sentinels watch, and start it again once another has its place."""
        assert isinstance(self.stores, WatchedServers)
        killed = self.stores.kill_master()
        time.sleep(down)
        self.stores.mend(killed)

    def kill_primary(self, *, number: int, down: float) -> None:
        """Kill a cluster's primary, and start it again once its replica has its place."""
        assert isinstance(self.stores, ClusterServers)
        killed = self.stores.kill_primary(number)
        time.sleep(down)
        killed.start()

    def move_slots(self, plan: Plan) -> None:
        """Move the slots of all accounts to other primaries of a cluster, key by key."""
        assert isinstance(self.stores, ClusterServers)
        for account_id in account_ids(plan.accounts):
            self.stores.move(key_slot(Keys(account_id).limit.encode()))

    def job_states(self, jobs: Iterable[tuple[str, str]]) -> set[str]:
        """Return the states that jobs have in the ledger; empty for one that it does not know.

        Each is given as its account and its id.
        """
        with self.store_client() as client:
            records = [
                (account_id, client.get(Keys(account_id).job(job_id)))
                for account_id, job_id in jobs
            ]
        return {
            fields_of(record, account_id, "").get("state", "") if record else ""
            for account_id, record in records
        }

    def leftovers(self) -> list[str]:
        """Name what no job needs any more: locks of consumers, permits in flight."""
        with self.store_client() as store:
            return [
                name.decode()
                for client in primaries(store).values()
                for name in client.scan_iter("overture:{*}:consumer:*", count=1000)
            ]

    def denied(self) -> list[str]:
        """Name what broker and store did not allow the workers to do."""
        of_store = self.stores.denied() if isinstance(self.stores, RedisPair) else set()
        return sorted(of_store | self.broker.denied())

    def store_client(self) -> Redis:
        """Return a client of the store itself."""
        return connect(self.stores.url)


def _start_store(
    plan: Plan, folder: Path, stack: ExitStack
) -> RedisPair | WatchedServers | ClusterServers:
    match plan.store:
        case "sentinels":
            return stack.enter_context(WatchedServers(folder, replicas=2, options=TWO_COPIES))
        case "cluster":
            return stack.enter_context(ClusterServers(folder, replicated=True))
    pair = RedisPair(folder, has_replica=plan.field > 0, restricted=plan.restricted).start()
    stack.callback(pair.stop)
    return pair


@contextmanager
def set_up(plan: Plan, broker: BrokerName, seed: int, folder: Path) -> Iterator[Stage]:
    """Start the servers of a run in this folder, and end them."""
    for name in ("broker", "store"):
        (folder / name).mkdir()
    options = ["--latency", plan.latency, "--seed", str(seed)]
    options += [f"--fault={name}={share}" for name, share in plan.faults]
    options += ["--close-at-once"] if plan.close_at_once else []
    options += ["--any-account"] if plan.accounts > 1 else []
    with ExitStack() as stack:
        stores = _start_store(plan, folder / "store", stack)
        started = start_broker(broker, folder / "broker", plan, stores)
        stack.callback(started.stop)
        simulator = stack.enter_context(SimulatorProcess(*options))
        yield Stage(
            broker=started,
            stores=stores,
            simulator=simulator,
            to_broker=stack.enter_context(Proxy(started.port)),
            to_store=stack.enter_context(Proxy(stores.primary.port)),
            to_liveperson=stack.enter_context(Proxy(simulator.port)),
        )
