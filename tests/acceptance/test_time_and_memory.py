"""The store's clock is set, its memory is lost, a message never comes back: jobs go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from config.names import JOBS_QUEUE
from tests.broker_client import BrokerClient
from tests.conftest import ON_RABBITMQ
from tests.jobs import ONE_ACCOUNT, job_document
from tests.overture_command import overture
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.stepped_clock import SteppedClock
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess
from worker.broker.redis.layout import Layout, queue_depths

HOUR_SECONDS = 3600
ON_VALKEY = pytest.mark.parametrize("broker_url", ["valkey"], indirect=True)
PACE: dict[str, object] = {"max_rate": 100, "retry_schedule": "4,4,4", "read_timeout": 3}


@pytest.fixture
def stepped(tmp_path: Path, clock: SteppedClock) -> Iterator[RedisServer]:
    """Run a Valkey whose clock can be set."""
    server = RedisServer(tmp_path, clock=clock).start()
    yield server
    server.stop()


@pytest.mark.parametrize("step", [-HOUR_SECONDS, HOUR_SECONDS], ids=["back", "forward"])
@pytest.mark.parametrize("broker", ["valkey", ON_RABBITMQ])
def test_after_a_step_of_the_clock_the_next_job_goes_at_once(
    request: pytest.FixtureRequest,
    simulator: SimulatorProcess,
    stepped: RedisServer,
    clock: SteppedClock,
    broker: str,
    step: int,
) -> None:
    """Whatever is in hand, put off or paused then: nothing waits an hour, nothing is done twice."""
    url = stepped.url if broker == "valkey" else request.getfixturevalue("rabbit_url")
    settings = {
        **ONE_ACCOUNT,
        **PACE,
        "broker_url": url,
        "store_url": stepped.url,
        "domain_api_url": simulator.url,
    }
    for number, fault in ((20, "server_error"), (21, "server_error"), (22, "too_many_requests")):
        simulator.control("faults", {"consumer": f"consumer-{number}", "fault": fault})
    with BrokerClient(url) as client, WorkerProcess(settings), WorkerProcess(settings):
        client.put([job_document(number) for number in range(20)])
        client.wait_for(20)
        client.put([job_document(number) for number in (20, 21)])
        wait_until(lambda: calls(simulator) >= 22, "two are put off")
        simulator.control("limits", {"latency": 2000})
        client.put([job_document(number) for number in (22, 23, 24)])
        wait_until(lambda: simulator.stats()["total"]["inFlight"] == 3, "three are in flight")
        clock.step(step)
        simulator.control("limits", {"latency": 0})
        stepped_at = time.monotonic()
        client.put([job_document(30)])
        client.wait_until(lambda out: "job-30" in out.by_job(), "the next job goes", seconds=5)
        out = client.wait_for(26, seconds=20)
        assert time.monotonic() - stepped_at < 15
    assert out.dead_letters == []
    assert len(simulator.conversations()) == 26


def calls(simulator: SimulatorProcess) -> int:
    """Return how often LivePerson was asked for a conversation."""
    return sum(simulator.stats()["total"]["calls"]["conversation"].values())


@ON_VALKEY
def test_an_emptied_store_holds_up_no_outcome(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """What was in flight is recorded and published, though no other job begins."""
    store = RedisServer(tmp_path).start()
    settings = {**settings, "store_url": store.url, "domain_api_url": simulator.url, **PACE}
    simulator.control("limits", {"latency": 1500})
    try:
        with WorkerProcess(settings) as worker:
            client.put([job_document(number) for number in range(15)])
            wait_until(lambda: simulator.stats()["total"]["inFlight"] == 15, "all are in flight")
            with store.client() as connected:
                connected.flushall()
            out = client.wait_for(15, seconds=15)
            assert worker.events("store.away") == []
    finally:
        store.stop()
    assert (len(out.results), out.dead_letters) == (15, [])
    assert len(simulator.conversations()) == 15


@ON_VALKEY
def test_a_cancelled_job_is_not_sent_however_late_it_comes(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Its message comes long after a finished job would be forgotten."""
    settings = {**settings, "domain_api_url": simulator.url, "dedupe_days": 1 / 86_400}
    start = datetime.now(UTC) + timedelta(seconds=6)
    client.put([job_document(1, notBefore=start.isoformat())])
    assert overture("cancel", "job-1", settings=settings).returncode == 0
    with WorkerProcess(settings):
        out = client.wait_for(1)
    assert out.codes() == {"job-1": "cancelled"}
    assert datetime.now(UTC) >= start
    assert simulator.conversations() == []


@ON_VALKEY
def test_a_consumer_goes_on_without_a_job_that_was_purged(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess, store: Redis
) -> None:
    """What the purged job opened is nobody else's: not even after an attempt of unknown fate."""
    settings = {**settings, "domain_api_url": simulator.url, "retry_schedule": "60"}
    purged, refused, unknown = (job_document(number, consumerId="same") for number in (1, 2, 3))
    simulator.control("faults", {"consumer": "same", "fault": "lost_answer"})
    with WorkerProcess(settings):
        client.put([purged])
        wait_until(lambda: queue_depths(store, [JOBS_QUEUE])[JOBS_QUEUE].delayed, "it is put off")
        store.delete(*Layout().keys([JOBS_QUEUE]))
        client.put([refused])
        wait_until(lambda: queue_depths(store, [JOBS_QUEUE])[JOBS_QUEUE].delayed, "the next waits")
        assert overture("cancel", "job-1", settings=settings).returncode == 0
        client.wait_for(1)
    assert client.out.codes() == {"job-2": "already_open"}
    simulator.control("faults", {"consumer": "same", "fault": "server_error"})
    with WorkerProcess({**settings, "retry_schedule": "0.2"}):
        client.put([unknown])
        client.wait_for(2)
    assert client.out.codes() == {"job-2": "already_open", "job-3": "in_doubt"}
    assert len(simulator.conversations()) == 1
