"""A copy of the store's folder, taken while it is stopped, is a backup."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.overture_command import overture
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.worker_process import WorkerProcess


def test_a_restored_store_knows_what_was_done(
    own_server: RedisServer, valkey_url: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Its copy recognises a job that comes again, and opens no second conversation for it."""
    settings: dict[str, object] = {
        **ONE_ACCOUNT,
        "broker_url": valkey_url,
        "store_url": own_server.url,
        "domain_api_url": simulator.url,
    }
    with BrokerClient(valkey_url) as client:
        with WorkerProcess(settings) as worker:
            client.put([job_document(1)])
            first = client.wait_for(1).by_job()
            assert worker.stop() == 0
        own_server.stop()
        shutil.copytree(own_server.folder, tmp_path / "copy")
        copy = RedisServer(tmp_path / "copy").start()
        try:
            settings["store_url"] = copy.url
            with WorkerProcess(settings):
                client.put([job_document(1)])
                assert client.wait_for(1).by_job() == first
            assert "created" in overture("status", "job-1", settings=settings).stdout
        finally:
            copy.stop()
    assert len(simulator.conversations()) == 1
