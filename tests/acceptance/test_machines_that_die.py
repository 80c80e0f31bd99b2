"""Servers that stand for one another: one dies while jobs are processed, and nothing is lost."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from tasks.store.connection import Keys
from tests.broker_client import BrokerClient
from tests.cluster_servers import ClusterServers
from tests.jobs import ACCOUNT, ONE_ACCOUNT, job_document
from tests.overture_command import overture
from tests.rabbit_server import RabbitServer
from tests.redis_server import free_port
from tests.sentinel_servers import WatchedServers
from tests.simulator_process import SimulatorProcess
from tests.tcp_proxy import TCPProxy
from tests.worker_process import WorkerProcess
from worker.broker.brokers import broker_at

JOBS = 200
# One and a half for the silent node, and what a start takes on a busy machine.
SILENT_START_SECONDS = 8.0


def test_a_master_dies_behind_sentinels(tmp_path: Path, simulator: SimulatorProcess) -> None:
    """It is store and broker; the first Sentinel in the URL is dead from the start."""
    with WatchedServers(tmp_path) as servers:
        dead = f"127.0.0.1:{free_port()}"
        url = servers.url.replace("127.0.0.1:", f"{dead},127.0.0.1:", 1)
        settings = {
            **ONE_ACCOUNT,
            "broker_url": url,
            "domain_api_url": simulator.url,
            "max_rate": 40,
        }
        with BrokerClient(url) as client, WorkerProcess(settings) as worker:
            client.put([job_document(number) for number in range(JOBS)])
            client.wait_for(JOBS // 4)
            servers.kill_master()
            begun = time.monotonic()
            with BrokerClient(url) as later:
                later.out = client.out
                before = len(later.take().by_job())
                later.wait_for(before + 20, seconds=10)
                print("back after", time.monotonic() - begun)
                _check_speaks_plainly(settings, dead)
                later.wait_for(JOBS, seconds=30)
                assert later.out.dead_letters == []
            assert worker.process.poll() is None
            assert worker.stop() == 0
    assert len(simulator.conversations()) == JOBS


def _check_speaks_plainly(settings: dict[str, object], dead: str) -> None:
    """Of servers that are found, of one that is dead, and of a master's name that is wrong."""
    found = overture("check", settings=settings)
    for what in ("broker", "message", "broker rights", "store", "store rights"):
        assert f"✓ {what}:" in found.stdout
    for what in ("broker", "store"):
        assert f"! {what}: the Sentinel {dead} does not answer" in found.stdout
    wrong = str(settings["broker_url"]).replace("mymaster", "other")
    refused = overture("check", settings={**settings, "broker_url": wrong})
    assert refused.returncode == 1
    for what in ("broker", "store"):
        assert f"✗ {what}: sentinel://" in refused.stdout
    assert "no master named other" in refused.stdout
    assert "correct the master's name" in refused.stdout


@pytest.mark.xdist_group("rabbitmq")
def test_the_next_node_of_rabbitmq_is_used_at_once(
    rabbit_server: RabbitServer, rabbit_url: str, valkey_url: str, simulator: SimulatorProcess
) -> None:
    """The first node is silent from the start; the second dies, and with it what was declared."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        TCPProxy(rabbit_server.port) as second,
        TCPProxy(rabbit_server.port) as third,
    ):
        ports = silent.getsockname()[1], second.port, third.port
        url = ";".join(f"amqp://guest:guest@127.0.0.1:{port}//" for port in ports)
        settings = {
            **ONE_ACCOUNT,
            "broker_url": url,
            "store_url": valkey_url,
            "domain_api_url": simulator.url,
            "max_rate": 40,
        }
        begun = time.monotonic()
        with WorkerProcess(settings) as worker, BrokerClient(rabbit_url) as client:
            assert time.monotonic() - begun < SILENT_START_SECONDS
            client.put([job_document(number) for number in range(JOBS)])
            client.wait_for(JOBS // 4)
            _lose_the_delays(rabbit_url)
            second.close()
            before = len(client.take().by_job())
            client.wait_for(before + 20, seconds=3)
            due = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
            client.put([job_document(JOBS, notBefore=due)])
            client.wait_for(JOBS + 1, seconds=20)
            assert client.out.dead_letters == []
            for command in (["check"], ["status"], ["results"]):
                done = overture(*command, settings=settings)
                assert done.returncode == 0, (command, done.stdout, done.stderr)
                if command == ["check"]:
                    for port in ports[:2]:
                        assert f"! broker: amqp://guest@127.0.0.1:{port}" in done.stdout
            assert worker.process.poll() is None
            assert worker.stop() == 0
    assert len(simulator.conversations()) == JOBS + 1


def _lose_the_delays(url: str) -> None:
    """Take away where delayed jobs go once they are due; nobody is told of that."""
    with broker_at(url).connection() as connection:
        channel: Any = connection.default_channel
        channel.exchange_delete("celery_delayed_delivery")


def test_a_cluster_is_the_store(
    cluster_servers: ClusterServers, cluster_url: str, valkey_url: str, simulator: SimulatorProcess
) -> None:
    """It is known for one by any of its nodes; an account's keys change their node meanwhile."""
    node = cluster_servers.nodes[-1]
    settings = {
        **ONE_ACCOUNT,
        "broker_url": valkey_url,
        "store_url": f"redis://127.0.0.1:{node.port}/0",
        "domain_api_url": simulator.url,
        "max_rate": 40,
    }
    with BrokerClient(valkey_url) as client, WorkerProcess(settings) as worker:
        client.put([job_document(number) for number in range(JOBS)])
        client.wait_for(JOBS // 4)
        cluster_servers.move(key_slot(Keys(ACCOUNT).limit.encode()))
        client.wait_for(JOBS, seconds=20)
        assert client.out.dead_letters == []
        found = overture("check", settings=settings)
        assert f"✓ store: redis+cluster://127.0.0.1:{node.port} answers" in found.stdout
        for command in (["status"], ["status", "job-0"], ["limits", "set", "--max-rate", "5"]):
            done = overture(*command, settings={**settings, "store_url": cluster_url})
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        refused = overture("check", settings={**settings, "broker_url": settings["store_url"]})
        assert "can be the store, as redis+cluster://host, but not the broker" in refused.stdout
        assert worker.stop() == 0
    assert len(simulator.conversations()) == JOBS
