"""What a worker says of itself at its start, and what it makes of a system that allows little."""

from __future__ import annotations

import platform
from urllib.parse import urlsplit

import pytest

from config.names import JOBS_QUEUE, account_queue
from config.version import VERSION
from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.simulator_process import SimulatorProcess
from tests.worker_process import WorkerProcess

# The broker has no part in it.
pytestmark = pytest.mark.parametrize("broker_url", ["valkey"], indirect=True)

SLOTS = 50


def limited(settings: dict[str, object], limit: str) -> WorkerProcess:
    """Give a worker of which the system allows only so many open files."""
    worker = WorkerProcess(settings, concurrency=SLOTS)
    worker._command = ["sh", "-c", f'ulimit {limit}; exec "$0" "$@"', *worker._command]
    return worker


def test_a_worker_says_what_it_works_with(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Its version, servers, accounts and queues, in one line."""
    del client
    port = urlsplit(str(settings["broker_url"])).port
    with WorkerProcess({**settings, "domain_api_url": simulator.url}, concurrency=7) as worker:
        (ready,) = worker.events("worker.ready")
    assert {name: ready[name] for name in ready if name not in {"at", "level", "event"}} == {
        "version": VERSION,
        "python": platform.python_version(),
        "broker": f"redis://127.0.0.1:{port}/0",
        "store": f"redis://127.0.0.1:{port}/0",
        "liveperson": simulator.url,
        "proxy": "none",
        "accounts": [ONE_ACCOUNT["account_id"]],
        "queues": [JOBS_QUEUE, account_queue(str(ONE_ACCOUNT["account_id"]))],
        "slots": 7,
    }


def test_a_soft_limit_of_open_files_is_raised(settings: dict[str, object]) -> None:
    """Whoever may open more files does."""
    with limited(settings, "-S -n 64") as worker:
        assert worker.events("worker.few_files") == []
        assert worker.events("worker.ready")[0]["slots"] == SLOTS


def test_too_few_open_files_make_fewer_slots(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """It is said at the start, and LivePerson is not taken to be down."""
    simulator.control("limits", {"latency": 200})
    configured = {**settings, "domain_api_url": simulator.url, "max_rate": 1000}
    with limited(configured, "-n 80") as worker:
        client.put([job_document(number) for number in range(SLOTS)])
        out = client.wait_for(SLOTS)
        (few,) = worker.events("worker.few_files")
        assert (few["allowed"], few["needed"], few["slots"], few["wanted"]) == (80, 240, 10, SLOTS)
        assert worker.events("account.held") == []
        assert worker.stop() == 0
    assert (len(out.results), out.dead_letters) == (SLOTS, [])
    assert {result["attempts"] for result in out.results} == {1}
