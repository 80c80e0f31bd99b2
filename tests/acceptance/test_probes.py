"""The pages of a real worker: what a probe is told while servers go away, and while it drains."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.overture_command import overture
from tests.redis_server import RedisServer, free_port
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess


class Probe:
    """Asks a worker's pages."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and words; 0 where nobody answers."""
        try:
            with urlopen(f"http://{self.address}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode().strip()
        except OSError:
            return 0, ""


@pytest.fixture
def slow() -> Iterator[SimulatorProcess]:
    """Run a LivePerson that takes its time."""
    with SimulatorProcess("--latency", "3000") as process:
        yield process


def test_probes_follow_the_worker(own_server: RedisServer, slow: SimulatorProcess) -> None:
    """Ready while it takes messages, alive while a restart would not help."""
    probe = Probe(f"127.0.0.1:{free_port()}")
    settings: dict[str, object] = {
        "broker_url": own_server.url,
        "domain_api_url": slow.url,
        "metrics_address": probe.address,
        **ONE_ACCOUNT,
    }
    with WorkerProcess(settings) as worker:
        wait_until(lambda: probe.ask("readyz") == (200, "ready"), "it is ready")
        assert probe.ask("healthz") == (200, "fine")

        second = overture("worker", settings=settings)
        assert second.returncode == 1
        assert "OVERTURE_METRICS_ADDRESS: nothing can be served at" in second.stderr
        assert second.stderr.strip().count("overture: ") == 1

        own_server.kill()
        wait_until(lambda: probe.ask("readyz")[0] == 503, "it is not ready without a broker")
        assert "no connection to the broker" in probe.ask("readyz")[1]
        assert probe.ask("healthz") == (200, "fine")
        assert probe.ask("metrics")[0] == 200
        own_server.start()
        wait_until(lambda: probe.ask("readyz")[0] == 200, "it is ready again", seconds=30)

        with BrokerClient(own_server.url) as client:
            client.put([job_document(1)])
        wait_until(
            lambda: "overture_deliveries_in_hand 1.0" in probe.ask("metrics")[1], "it is at work"
        )
        worker.process.terminate()
        wait_until(lambda: probe.ask("readyz") == (503, "it is draining"), "it is draining")
        assert probe.ask("healthz") == (200, "draining")
        assert worker.process.wait(45) == 0
