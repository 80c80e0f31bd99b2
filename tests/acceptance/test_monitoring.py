"""Two workers and an exporter under load, watched by a real Prometheus with our rules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from docker.monitoring.dashboard import panels
from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.overture_command import start_overture
from tests.prometheus_server import PrometheusServer, as_asked, demand
from tests.redis_server import free_port
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

JOBS: Final = 300
# LivePerson refuses more than so many requests a second, so that some are tried again.
FAULTS: Final = ("--rate", "60")


class Pool:
    """Two workers, an exporter, and a Prometheus that scrapes all three."""

    def __init__(self, stack: ExitStack, url: str, folder: Path) -> None:
        demand("prometheus")
        simulator = stack.enter_context(SimulatorProcess(*FAULTS))
        self.client = stack.enter_context(BrokerClient(url))
        settings: dict[str, object] = {
            "broker_url": url,
            "domain_api_url": simulator.url,
            "max_rate": 1000,
            **ONE_ACCOUNT,
        }
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(3)]
        self.workers = [
            stack.enter_context(WorkerProcess({**settings, "metrics_address": one}))
            for one in addresses[:2]
        ]
        exporter = start_overture(
            "exporter", "--address", addresses[2], "--workers", "2", settings=settings
        )
        stack.callback(exporter.communicate, timeout=10)
        stack.callback(exporter.terminate)
        jobs = {"workers": addresses[:2], "exporter": addresses[2:]}
        self.prometheus = stack.enter_context(PrometheusServer(folder, jobs))


@pytest.fixture
def pool(valkey_url: str, tmp_path: Path) -> Iterator[Pool]:
    """Run a pool."""
    with ExitStack() as stack:
        yield Pool(stack, valkey_url, tmp_path)


def numbers(found: list[dict[str, Any]]) -> list[float]:
    """Return what a query found, without what is no number: 0 / 0 is none."""
    values = [float(one["value"][1]) for one in found]
    return [value for value in values if math.isfinite(value)]


@pytest.mark.timeout(180)
def test_every_panel_has_numbers_and_alerts_come_and_go(pool: Pool) -> None:
    """The dashboard's queries, as Grafana would ask them, and an alert for a lost worker."""
    prometheus = pool.prometheus
    wait_until(lambda: len(prometheus.query("up == 1")) == 3, "all are scraped", seconds=30)
    pool.client.put(job_document(number) for number in range(JOBS))
    pool.client.put([{"jobId": "no-consumer"}, job_document(1, expiresAt="2020-01-01T00:00:00Z")])

    def done() -> bool:
        ended = prometheus.query("sum(overture_jobs_total)")
        return bool(ended) and numbers(ended)[0] >= JOBS + 2

    wait_until(done, "all jobs have ended, and were scraped", seconds=60)
    assert prometheus.query('sum(overture_jobs_total{outcome="created"})')[0]["value"][1] == str(
        JOBS
    )
    empty = {
        (panel.title, query)
        for panel in panels()
        for query in panel.queries.values()
        if not numbers(prometheus.query(as_asked(query, rate="1m")))
    }
    assert empty == set()

    # Others can fire as well: two jobs of one id are a dead letter, say.
    assert "OvertureWorkersMissing" not in prometheus.firing()
    pool.workers[1].kill()
    wait_until(
        lambda: "OvertureWorkersMissing" in prometheus.firing(), "the alert fires", seconds=30
    )
    pool.workers[1].start()
    wait_until(
        lambda: "OvertureWorkersMissing" not in prometheus.firing(), "the alert ends", seconds=30
    )
