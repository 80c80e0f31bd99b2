"""A failover behind one address: old connections stay with the first server, new ones do not.

The first one is a replica from then on. It answers reads over the old connections, and refuses
writes; nobody closes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.tcp_proxy import TCPProxy
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

JOBS = 300


class Pair:
    """Two servers behind one address, the second of which replicates the first."""

    def __init__(self, folder: Path) -> None:
        self.servers = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            self.servers.append(RedisServer(folder / name).start())
        self.first, self.second = self.servers
        with self.second.client() as client:
            client.replicaof("127.0.0.1", str(self.first.port))
            wait_until(lambda: _is_linked(client), "the second server has the first one's data")

    def fail_over(self, proxy: TCPProxy) -> None:
        """Promote the second server; the first one loses nothing that it has answered."""
        with self.first.client() as old, self.second.client() as new:
            old.execute_command("CLIENT", "PAUSE", "5000", "WRITE")
            wait_until(lambda: _offset(new) == _offset(old), "the second server has everything")
            proxy.lead_to(self.second.port)
            new.replicaof("NO", "ONE")
            old.replicaof("127.0.0.1", str(self.second.port))
            old.execute_command("CLIENT", "UNPAUSE")


def _is_linked(client: Redis) -> bool:
    return client.info("replication").get("master_link_status") == "up"


def _offset(client: Redis) -> int:
    facts = client.info("replication")
    return int(facts.get("slave_repl_offset", facts["master_repl_offset"]))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Run two servers."""
    found = Pair(tmp_path)
    yield found
    for server in found.servers:
        server.stop()


@pytest.mark.parametrize("is_broker", [False, True], ids=["store", "store and broker"])
def test_jobs_flow_on_within_seconds(
    pair: Pair, valkey_url: str, simulator: SimulatorProcess, *, is_broker: bool
) -> None:
    """Nothing is lost, nothing is sent twice, and no process ends."""
    with TCPProxy(pair.first.port) as proxy:
        broker_url = proxy.url if is_broker else valkey_url
        settings = {
            **ONE_ACCOUNT,
            "broker_url": broker_url,
            "store_url": proxy.url,
            "domain_api_url": simulator.url,
            "max_rate": 30,
        }
        with BrokerClient(broker_url) as client, WorkerProcess(settings) as worker:
            client.put([job_document(number) for number in range(JOBS)])
            client.wait_for(JOBS // 6)
            pair.fail_over(proxy)
            with BrokerClient(broker_url) as later:
                later.out = client.out
                before = len(later.take().by_job())
                later.wait_for(before + 30, seconds=10)
                later.wait_for(JOBS, seconds=30)
                assert later.out.dead_letters == []
            assert worker.process.poll() is None
            assert worker.stop() == 0
    assert len(simulator.conversations()) == JOBS
    assert simulator.stats()["total"]["calls"]["conversation"] == {"200": JOBS}
