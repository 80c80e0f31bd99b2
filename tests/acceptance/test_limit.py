"""Real workers at a limit: what waits, what does not, and in which order."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from tasks.store.limits import set_ceiling
from tests.broker_client import BrokerClient
from tests.jobs import ACCOUNT, job_document
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

OTHER = "87654321"
# Where the broker has no part; and quorum queues know no priorities before RabbitMQ 4.
ON_VALKEY = pytest.mark.parametrize("broker_url", ["valkey"], indirect=True)


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """Run LivePerson, for any account."""
    with SimulatorProcess("--seed", "1", "--any-account") as process:
        yield process


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Leave a job that fails one retry."""
    return {**settings, "domain_api_url": simulator.url, "retry_schedule": "0.2"}


def with_another(settings: dict[str, object], **limits: object) -> dict[str, object]:
    """Add a second account; `limits` are the first one's."""
    return {
        **settings,
        **{f"accounts__{ACCOUNT}__{name}": value for name, value in limits.items()},
        f"accounts__{OTHER}__client_id": "demo",
        f"accounts__{OTHER}__client_secret": "demo",
        f"accounts__{OTHER}__max_rate": 1000,
    }


def created(simulator: SimulatorProcess, account: str = ACCOUNT) -> int:
    """Return how many conversations an account has."""
    return len(simulator.conversations(account=account))


@ON_VALKEY
def test_a_429_costs_a_job_no_retry(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """With a schedule of one retry, a pool that is told far too high a limit loses nothing."""
    simulator.control("limits", {"rate": 10, "burst": 2})
    client.put(job_document(number) for number in range(20))
    with WorkerProcess({**settings, "max_rate": 1000}):
        out = client.wait_for(20, seconds=60)
    calls = simulator.stats()["total"]["calls"]["conversation"]
    assert (len(out.by_job()), out.dead_letters, calls["200"]) == (20, [], 20)
    assert 1 <= calls["429"] <= 2 * 20


def test_a_throttled_account_does_not_delay_another(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Three hundred of its jobs lie before the other's in the one queue that both share."""
    client.put(job_document(number, accountId=ACCOUNT) for number in range(300))
    client.put(job_document(1000 + number, accountId=OTHER) for number in range(20))
    with WorkerProcess(with_another(settings, max_rate=2), concurrency=8):
        wait_until(lambda: created(simulator, OTHER) == 20, "the other's jobs are done", seconds=25)
        first = created(simulator)
    assert 1 <= first <= 60


def test_a_slow_account_does_not_take_all_slots(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Calls of one account that do not end leave half of the slots to the other."""
    for number in range(40):
        fault = {"consumer": f"consumer-{number}", "fault": "withheld_answer"}
        simulator.control("faults", fault)
    client.put(job_document(number, accountId=ACCOUNT) for number in range(40))
    client.put(job_document(1000 + number, accountId=OTHER) for number in range(20))
    with WorkerProcess(with_another(settings, max_rate=1000), concurrency=8):
        wait_until(lambda: created(simulator, OTHER) == 20, "the other's jobs are done", seconds=25)
        assert 1 <= simulator.stats()["accounts"][ACCOUNT]["inFlight"] <= 4


@ON_VALKEY
def test_priorities_hold_under_a_limit(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Urgent jobs overtake those that wait in the broker, and those that wait in slots."""
    client.put(job_document(number) for number in range(60))
    with WorkerProcess({**settings, "max_rate": 10}, concurrency=4):
        wait_until(lambda: created(simulator) >= 3, "the limit holds")
        before = created(simulator)
        urgent = [job_document(1000 + number, priority=9) for number in range(5)]
        for job in urgent:
            client.put_raw([_encoded(job)], priority=9)
        client.wait_until(
            lambda out: {job["jobId"] for job in urgent} <= out.by_job().keys(),
            "the urgent jobs are done",
        )
        # What was under way or had its slot booked goes first, and little more.
        assert created(simulator) - before <= 5 + 15


def test_a_job_that_has_to_wait_for_its_time_takes_nobodys_slot(
    settings: dict[str, object], client: BrokerClient
) -> None:
    """Under a limit as well: it is sent when it may, and the others meanwhile."""
    start = datetime.now(UTC) + timedelta(seconds=6)
    later = job_document(1, notBefore=start.isoformat().replace("+00:00", "Z"))
    client.put([later, *(job_document(number) for number in range(2, 42))])
    with WorkerProcess({**settings, "max_rate": 10}, concurrency=2):
        out = client.wait_for(41, seconds=40)
    moment = datetime.fromisoformat(out.by_job()["job-1"]["createdAt"])
    assert start <= moment <= start + timedelta(seconds=5)


def test_a_job_that_expires_while_it_waits_for_a_permit_is_not_sent(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Neither in a slot, under its own limit, nor after a pause that outlasts it."""
    ends = datetime.now(UTC) + timedelta(seconds=5)
    client.put(job_document(number, expiresAt=ends.isoformat()) for number in range(20))
    with WorkerProcess({**settings, "max_rate": 2}, concurrency=10):
        out = client.wait_for(20, seconds=20)
        codes = Counter(letter["error"]["code"] for letter in out.dead_letters)
        assert codes["expired"] == 20 - created(simulator) >= 5
        moments = [datetime.fromisoformat(result["createdAt"]) for result in out.results]
        assert max(moments, default=ends) <= ends + timedelta(seconds=1)
        simulator.control("limits", {"rate": 0.01, "burst": 1, "retryAfter": 120})
        soon = datetime.now(UTC) + timedelta(seconds=3)
        late = [job_document(100 + n, expiresAt=soon.isoformat()) for n in range(3)]
        before = created(simulator)
        client.put(late)
        client.wait_for(23, seconds=20)
        assert created(simulator) - before <= 1


@ON_VALKEY
def test_the_cap_holds_while_workers_are_killed(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """A killed worker's requests count until they must be over; then the others go on."""
    simulator.control("limits", {"latency": 400})
    client.put(job_document(number) for number in range(40))
    hard = {
        **settings,
        "max_rate": 1000,
        "max_in_flight": 3,
        "connect_timeout": 1,
        "read_timeout": 2,
    }
    with WorkerProcess(hard) as first, WorkerProcess(hard):
        for _ in range(2):
            done = created(simulator)
            # What the killed worker had in flight, and its jobs, are given up after 8 and 10 s.
            wait_until(lambda done=done: created(simulator) > done + 3, "work goes on", seconds=40)  # type: ignore[misc] # the loop's own count
            first.kill()
            first.start()
        client.wait_for(40, seconds=60)
    assert simulator.stats()["total"]["maxConcurrent"] == 3


@ON_VALKEY
def test_an_operators_limit_holds_within_a_second(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """For every worker, while it runs."""
    client.put(job_document(number) for number in range(2000))
    with (
        Redis.from_url(str(settings["store_url"])) as store,
        WorkerProcess({**settings, "max_rate": 40}),
    ):
        wait_until(lambda: created(simulator) >= 10, "work goes on")
        set_ceiling(store, ACCOUNT, rate=2)
        time.sleep(1.0)
        before, at = created(simulator), time.monotonic()
        wait_until(lambda: created(simulator) >= before + 4, "it goes on slowly")
        assert time.monotonic() - at >= 1.4


def _encoded(job: dict[str, object]) -> bytes:
    return json.dumps(job).encode()
