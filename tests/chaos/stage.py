"""Everything a run needs beside workers: servers, the simulator, a proxy before each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redis import Redis

from tasks.store.connection import Keys
from tasks.store.records import fields_of
from tests.chaos.brokers import Broker, start_broker
from tests.chaos.on_valkey import restart_redis
from tests.chaos.plan import BrokerName, Plan
from tests.chaos.proxy import Proxy
from tests.chaos.redis_pair import RedisPair
from tests.chaos.submissions import ACCOUNT
from tests.simulator_client import CLIENT_ID, CLIENT_SECRET
from tests.simulator_process import SimulatorProcess

# Short enough that a run is; long enough in sum to outlast what is broken.
RETRY_SCHEDULE: Final = "0.2,0.5,0.8,1.5,2,3,4,5,5,5"
CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 3.0
DRAIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The servers of a run, and the proxies by which workers reach them."""

    broker: Broker
    stores: RedisPair
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
        return {
            "OVERTURE_BROKER_URL": self.broker.url_at(self.to_broker.port),
            "OVERTURE_STORE_URL": f"redis://127.0.0.1:{self.to_store.port}/0",
            "OVERTURE_ACCOUNT_ID": ACCOUNT,
            "OVERTURE_CLIENT_ID": CLIENT_ID,
            "OVERTURE_CLIENT_SECRET": CLIENT_SECRET,
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
        restart_redis(self.stores.primary, orderly=orderly, down=down)

    def job_states(self, job_ids: Iterable[str]) -> set[str]:
        """Return the states that jobs have in the ledger; empty for one that it does not know."""
        keys = Keys(ACCOUNT)
        with self.store_client() as client, client.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.get(keys.job(job_id))
            records = pipe.execute()
        return {
            fields_of(record, ACCOUNT, "").get("state", "") if record else "" for record in records
        }

    def leftovers(self) -> list[str]:
        """Name what no job needs any more: locks of consumers, permits in flight."""
        with self.store_client() as client:
            locks = client.scan_iter(f"overture:{{{ACCOUNT}}}:consumer:*", count=1000)
            return [name.decode() for name in locks]

    def store_client(self) -> Redis:
        """Return a client of the store itself."""
        return self.stores.client()


@contextmanager
def set_up(plan: Plan, broker: BrokerName, seed: int, folder: Path) -> Iterator[Stage]:
    """Start the servers of a run in this folder, and end them."""
    for name in ("broker", "store"):
        (folder / name).mkdir()
    options = ["--latency", plan.latency, "--seed", str(seed)]
    options += [f"--fault={name}={share}" for name, share in plan.faults]
    options += ["--close-at-once"] if plan.close_at_once else []
    with ExitStack() as stack:
        has_replica = plan.field > 0
        started = start_broker(broker, folder / "broker", has_replica=has_replica)
        stack.callback(started.stop)
        stores = RedisPair(folder / "store", has_replica=has_replica).start()
        stack.callback(stores.stop)
        simulator = stack.enter_context(SimulatorProcess(*options))
        yield Stage(
            broker=started,
            stores=stores,
            simulator=simulator,
            to_broker=stack.enter_context(Proxy(started.port)),
            to_store=stack.enter_context(Proxy(stores.primary.port)),
            to_liveperson=stack.enter_context(Proxy(simulator.port)),
        )
