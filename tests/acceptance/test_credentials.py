"""What is refused to a whole account, or on the way there, ends no job: they wait, and go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import ACCOUNT, job_document
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

# The broker has no part in it.
pytestmark = pytest.mark.parametrize("broker_url", ["valkey"], indirect=True)

# No token call of the pool follows a refused one sooner.
TOKEN_CALL_SECONDS = 5.0


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Put the account's limits out of the way."""
    return {**settings, "domain_api_url": simulator.url, "max_rate": 100}


@pytest.fixture
def secret(settings: dict[str, object], tmp_path: Path) -> Path:
    """Keep the client secret in a file, as Docker and Kubernetes mount it; it is a wrong one."""
    del settings["client_secret"]
    file = tmp_path / "client_secret"
    file.write_text("wr0ng-secret\n")
    settings["secrets_dir"] = tmp_path
    return file


@pytest.fixture
def workers(settings: dict[str, object], client: BrokerClient) -> Iterator[list[WorkerProcess]]:
    """Run two workers."""
    del client  # its queues are there first
    with ExitStack() as stack:
        yield [stack.enter_context(WorkerProcess(settings, concurrency=10)) for _ in range(2)]


def calls(simulator: SimulatorProcess, endpoint: str) -> int:
    """Count the calls to an endpoint."""
    return sum(simulator.stats()["total"]["calls"].get(endpoint, {}).values())


@pytest.mark.parametrize(
    "tokens",
    [["app"] * 5, ["consumer", "app"] * 2],
    ids=["the AppJWT five times", "both in turn"],
)
@pytest.mark.usefixtures("workers")
def test_tokens_that_are_invalidated_end_no_job(
    client: BrokerClient, simulator: SimulatorProcess, tokens: list[str]
) -> None:
    """Twenty jobs in flight lose their tokens again and again, and each opens its conversation."""
    simulator.control("limits", {"latency": 300})
    client.put([job_document(number) for number in range(20)])

    def in_flight(before: int) -> bool:
        """Tell whether half of them are, or nearly all are done."""
        sent = calls(simulator, "conversation") - before
        return sent >= 10 or len(client.take().results) > 15

    for kind in tokens:
        wait_until(
            partial(in_flight, calls(simulator, "conversation")), "jobs are in flight", seconds=60
        )
        simulator.control("invalidate", {"tokens": kind})
    out = client.wait_for(20, seconds=90)
    assert (len(out.by_job()), out.dead_letters) == (20, [])


def test_a_wrong_secret_holds_the_account_until_it_is_corrected(
    secret: Path,
    workers: list[WorkerProcess],
    client: BrokerClient,
    simulator: SimulatorProcess,
) -> None:
    """No job is lost to it, sentinel is asked now and then, and no worker needs a restart."""
    began = time.monotonic()
    soon = datetime.now(UTC) + timedelta(seconds=8)
    client.put([job_document(200, expiresAt=soon.isoformat())])
    client.put([job_document(number) for number in range(200)])
    client.wait_until(lambda out: out.dead_letters, "one expires", seconds=40)
    late = datetime.now(UTC) - soon
    wait_until(lambda: calls(simulator, "sentinel") >= 3, "three tries", seconds=60)
    assert calls(simulator, "sentinel") <= 1 + (time.monotonic() - began) / TOKEN_CALL_SECONDS
    secret.write_text("demo-secret\n")
    out = client.wait_for(201, seconds=120)
    assert out.codes() == {"job-200": "expired"}
    assert late < timedelta(seconds=10)
    assert len({result["jobId"] for result in out.results}) == 200
    held = [worker.events("account.held") for worker in workers]
    assert [len(lines) for lines in held] == [1, 1], held
    host = simulator.url.removeprefix("http://")
    for (line,) in held:
        assert (line["level"], line["why"], line["account"]) == ("error", "credentials", ACCOUNT)
        assert line["cause"] == f"sentinel {host}: HTTP 401"
        assert line["retry_at"]
    assert any(worker.events("account.released") for worker in workers)
    assert not any("wr0ng" in worker.output() for worker in workers)


def test_a_fresh_token_that_is_refused_to_all_ends_no_job(
    workers: list[WorkerProcess], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """One job at a time tries, and all go on when it passes."""
    simulator.control("faults", {"probabilities": {"unauthorized": 1}})
    client.put([job_document(number) for number in range(30)])
    wait_until(lambda: any(w.events("account.held") for w in workers), "it is held", seconds=40)
    simulator.control("faults", {"probabilities": {}})
    out = client.wait_for(30, seconds=90)
    assert (len(out.by_job()), out.dead_letters) == (30, [])
    held = [line for worker in workers for line in worker.events("account.held")]
    assert {(line["level"], line["why"]) for line in held} == {("error", "credentials")}


def test_a_firewalls_page_ends_no_job(
    workers: list[WorkerProcess], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """At a hundred jobs a second: what never reached LivePerson is sent again."""
    simulator.control("faults", {"probabilities": {"firewall_page": 1}})
    began = time.monotonic()
    client.put([job_document(number) for number in range(400)])
    wait_until(
        lambda: time.monotonic() - began >= 10 and calls(simulator, "conversation") > 50,
        "ten seconds of it",
    )
    simulator.control("faults", {"probabilities": {}})
    out = client.wait_for(400, seconds=120)
    assert (len(out.by_job()), out.dead_letters) == (400, [])
    put_off = [line for worker in workers for line in worker.events("job.put_off")]
    causes = {line["cause"] for line in put_off if line["why"] == "retry"}
    assert causes
    assert all("a page that is not LivePerson's" in cause for cause in causes)


def test_a_consumer_that_is_refused_alone_is_a_dead_letter(
    workers: list[WorkerProcess], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """With fresh tokens, while others are accepted; its attempts say why."""
    del workers
    fault = {"consumer": "consumer-1", "fault": "consumer_token_refused", "times": 100}
    simulator.control("faults", fault)
    client.put([job_document(number) for number in range(5)])
    out = client.wait_for(5, seconds=60)
    assert out.codes() == {"job-1": "unauthorized"}
    attempts = out.dead_letters[0]["error"]["attempts"]
    host = simulator.url.removeprefix("http://")
    assert {(one["outcome"], one["cause"]) for one in attempts} == {
        ("unauthorized", f"asyncMessagingEnt {host}: HTTP 401 (40103)")
    }
