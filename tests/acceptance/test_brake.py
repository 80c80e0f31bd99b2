"""The emergency brake on real workers: everything stops within a second, and goes on later."""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import ACCOUNT, job_document
from tests.overture_command import overture
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

JOBS = 120
# Within this time after the command has ended the last call of LivePerson comes in.
EFFECT_SECONDS = 1.0
# Long enough that any worker would have sent something at the account's pace.
SILENT_SECONDS = 1.5


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Send so slowly that there is something to be stopped, however late the command is."""
    return {**settings, "domain_api_url": simulator.url, "max_rate": 10}


def calls(simulator: SimulatorProcess) -> object:
    """Return everything that LivePerson has counted: conversations, tokens, look-ups."""
    return simulator.stats()


def created(simulator: SimulatorProcess) -> int:
    """Return how many conversations there are."""
    return int(simulator.stats()["total"]["conversationsCreated"])


def demand_silence(simulator: SimulatorProcess) -> None:
    """See that nothing is sent any more, of any kind."""
    before = calls(simulator)
    time.sleep(SILENT_SECONDS)
    assert calls(simulator) == before


def test_everything_stops_within_a_second_and_stays_so(
    settings: dict[str, object],
    client: BrokerClient,
    simulator: SimulatorProcess,
    own_server: RedisServer,
) -> None:
    """Over three workers, whatever is restarted; then every job is done, with one request."""
    settings = {**settings, "store_url": own_server.url}
    with ExitStack() as stack:
        workers = [stack.enter_context(WorkerProcess(settings, concurrency=8)) for _ in range(3)]
        client.put([job_document(number) for number in range(JOBS)])
        wait_until(lambda: created(simulator) >= 10, "all goes well")

        paused = overture("pause", settings=settings)
        assert (paused.returncode, paused.stderr) == (0, "")
        assert paused.stdout.startswith("everything is paused since 2")
        time.sleep(EFFECT_SECONDS)
        demand_silence(simulator)
        assert created(simulator) < JOBS
        shown = overture("status", settings=settings).stdout
        assert shown.startswith("PAUSED: everything is paused since 2")
        assert (
            "everything is paused since 2" in overture("limits", "show", settings=settings).stdout
        )
        (event,) = workers[0].events("account.paused")
        assert (event["scope"], event["account"]) == ("all", ACCOUNT)

        workers[0].kill()
        workers[1].signal(signal.SIGTERM)
        assert workers[1].process.wait(10) == 0
        own_server.kill()
        own_server.start()
        for worker in workers[:2]:
            worker.start()
        demand_silence(simulator)
        assert all(worker.process.poll() is None for worker in workers)

        overture("limits", "set", "--max-rate", "1000", settings=settings)
        resumed = overture("resume", settings=settings)
        assert (resumed.returncode, resumed.stdout) == (0, "everything goes on\n")
        out = client.wait_for(JOBS, seconds=40)
    assert out.codes() == {}
    assert {result["attempts"] for result in out.results} == {1}
    assert created(simulator) == JOBS


def test_a_submission_is_paused_alone(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """The jobs behind it in the queue go past; each of its own says what it waits for."""
    settings = {**settings, "max_rate": 1000}
    overture("pause", "--submission", "spring", settings=settings)
    spring = [job_document(number, submissionId="spring") for number in range(40)]
    with WorkerProcess(settings, concurrency=8):
        client.put([*spring, *(job_document(number) for number in range(100, 120))])
        client.wait_for(20)
        wait_until(
            lambda: overture("status", "job-39", settings=settings).returncode == 0, "it was seen"
        )
        story = overture("status", "job-39", "--format", "json", settings=settings).stdout
        assert json.loads(story)["waitsFor"] == "paused"
        assert created(simulator) == 20
        left = overture("resume", settings=settings).stdout
    assert "everything was not paused\n" in left
    assert "submission spring is paused since 2" in left
    assert left.endswith(" still: overture resume --submission spring\n")
