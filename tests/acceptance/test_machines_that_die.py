"""Servers that stand for one another: one dies while jobs are processed, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.overture_command import overture
from tests.redis_server import free_port
from tests.sentinel_servers import WatchedServers
from tests.simulator_process import SimulatorProcess
from tests.worker_process import WorkerProcess

JOBS = 200


def test_a_master_dies_behind_sentinels(tmp_path: Path, simulator: SimulatorProcess) -> None:
    """It is store and broker; the first Sentinel in the URL is dead from the start."""
    with WatchedServers(tmp_path) as servers:
        url = servers.url.replace("127.0.0.1:", f"127.0.0.1:{free_port()},127.0.0.1:", 1)
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
                _check_speaks_plainly(settings)
                later.wait_for(JOBS, seconds=30)
                assert later.out.dead_letters == []
            assert worker.process.poll() is None
            assert worker.stop() == 0
    assert len(simulator.conversations()) == JOBS


def _check_speaks_plainly(settings: dict[str, object]) -> None:
    """Of servers that are found, and of a master's name that is wrong."""
    found = overture("check", settings=settings)
    for what in ("broker", "message", "broker rights", "store", "store rights"):
        assert f"✓ {what}:" in found.stdout
    wrong = str(settings["broker_url"]).replace("mymaster", "other")
    refused = overture("check", settings={**settings, "broker_url": wrong})
    assert refused.returncode == 1
    for what in ("broker", "store"):
        assert f"✗ {what}: sentinel://" in refused.stdout
    assert "no master named other" in refused.stdout
    assert "correct the master's name" in refused.stdout
