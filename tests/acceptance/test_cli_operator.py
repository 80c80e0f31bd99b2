"""What operators see and do while workers run: status, cancel, limits and check."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE, account_queue
from tests.broker_client import BrokerClient
from tests.jobs import ACCOUNT, ONE_ACCOUNT, SECRET, job_document
from tests.overture_command import overture, start_overture
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess
from worker.broker.brokers import broker_at
from worker.broker.redis.layout import Layout

CAN_LOSE = "a crash of the server can lose"
SET = "set it to always"


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Put the account's limits out of the way."""
    return {**settings, "domain_api_url": simulator.url, "max_rate": 1000}


def overview(settings: dict[str, object]) -> dict[str, Any]:
    """Return what `overture status` tells programs."""
    found: dict[str, Any] = json.loads(
        overture("status", "--format", "json", settings=settings).stdout
    )
    return found


def story_of(job_id: str, settings: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Ask for a job's history."""
    return overture("status", job_id, settings=settings)


def test_the_status_counts_what_there_is(settings: dict[str, object], client: BrokerClient) -> None:
    """Queues, outcomes and workers, and one job's story; for people and for programs."""
    client.put([job_document(1), job_document(2, consumerId="consumer-1")])
    queues = {queue["name"]: queue["ready"] for queue in overview(settings)["queues"]}
    assert queues == {JOBS_QUEUE: 2, RESULTS_QUEUE: 0, DEAD_LETTERS_QUEUE: 0}
    with WorkerProcess(settings):
        client.wait_for(2)
        found = overview(settings)
        assert len(found["workers"]) == 1
        (account,) = found["accounts"]
        assert account["accountId"] == ACCOUNT
        assert account["outcomes"] == {"created": 1, "failed:already_open": 1}
        text = overture("status", settings=settings)
        assert "failed: already_open 1" in text.stdout
        assert (text.returncode, text.stderr) == (0, "")
        result = client.out.results[0]
        story = overture("status", result["jobId"], settings=settings).stdout
        assert f"created: conversation {result['conversationId']} after 1 request" in story
        record = overture("status", result["jobId"], "--format", "json", settings=settings)
        assert json.loads(record.stdout)["outcome"] == result
        client.put([job_document(3, notBefore="2099-01-31T09:00:00Z")])
        wait_until(lambda: story_of("job-3", settings).returncode == 0, "a worker has seen it")
    story = story_of("job-3", settings).stdout
    assert "job job-3 of account 12345678: waiting\n" in story
    assert "  2099-01-31T09:00:0" in story
    assert "next attempt: waits for its time (notBefore)\n" in story
    cancelled = overture("cancel", "job-3", settings=settings)
    assert cancelled.stdout == "job job-3: waiting; it will be cancelled at its next turn\n"
    unknown = overture("status", "no-such-job", settings=settings)
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("overture: job no-such-job is unknown: ")


@pytest.mark.parametrize("broker_url", ["valkey"], indirect=True)
def test_the_queue_of_an_account_is_shown_while_it_holds_anything(
    settings: dict[str, object], broker_url: str, store: Redis
) -> None:
    """Also jobs that wait for their time, and those in hand; an empty one would be noise."""
    broker = broker_at(broker_url)
    with broker.connection() as connection:
        name = account_queue(ACCOUNT)
        broker.declare(connection, [name])
    _, leases, delayed, *_ = Layout().keys([name])
    for key in (leases, delayed):
        assert name not in {queue["name"] for queue in overview(settings)["queues"]}
        store.zadd(key, {"a message": 1})
        assert name in {queue["name"] for queue in overview(settings)["queues"]}
        store.delete(key)


def test_a_cancelled_job_is_not_sent(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Before a worker saw it; afterwards it is too late, and that is said."""
    client.put([job_document(1), job_document(2)])
    ended = overture("cancel", "job-2", settings=settings)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("job job-2: not seen by a worker yet")
    with WorkerProcess(settings):
        assert client.wait_for(2).codes() == {"job-2": "cancelled"}
        late = overture("cancel", "job-1", settings=settings)
    assert late.returncode == 1
    assert late.stderr.startswith("overture: job job-1: already has its outcome")
    assert simulator.stats()["total"]["conversationsCreated"] == 1


def test_limits_change_for_workers_that_run(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """From the next request on all of them keep to what an operator set, until it is reset."""
    simulator.control("limits", {"latency": 30})
    with WorkerProcess(settings):
        shown = overture("limits", "set", "--max-in-flight", "1", settings=settings).stdout
        assert "and 1 in flight (set by an operator)" in shown
        client.put([job_document(number) for number in range(20)])
        client.wait_for(20)
        assert simulator.stats()["total"]["maxConcurrent"] == 1
        assert overview(settings)["accounts"][0]["maxInFlight"] == 1
        shown = overture("limits", "set", "--reset", settings=settings).stdout
        assert "and 50 in flight (from the settings)" in shown


def test_a_worker_needs_its_store_from_the_start(settings: dict[str, object]) -> None:
    """Once it runs it waits for it; but an address that is wrong is said at once."""
    ended = overture("worker", settings={**settings, "store_url": "redis://:hunter2@127.0.0.1:1"})
    assert ended.returncode == 1
    assert ended.stderr.startswith("overture: the store at redis://127.0.0.1:1 cannot be used: ")
    assert ended.stderr.endswith("start it, or correct OVERTURE_STORE_URL\n")
    assert ended.stderr.count("\n") == 1
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize("role", ["store", "broker"])
def test_a_server_that_still_reads_its_data_is_said_to(role: str, valkey_url: str) -> None:
    """Nothing about it is to be corrected."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        loading = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        threading.Thread(target=answer_loading, args=(listener,), daemon=True).start()
        urls = {"broker_url": valkey_url, "store_url": valkey_url, f"{role}_url": loading}
        ended = overture("status", settings={**ONE_ACCOUNT, **urls})
    assert (ended.returncode, ended.stderr) == (
        1,
        f"overture: the {role} at {loading} is still loading its data; try again in a moment\n",
    )


def answer_loading(listener: socket.socket) -> None:
    """Answer as Redis and Valkey do after a start; a test would wait long for so much data."""
    with suppress(OSError):
        while True:
            threading.Thread(target=refuse, args=(listener.accept()[0],), daemon=True).start()


def refuse(connection: socket.socket) -> None:
    """Refuse every command on a connection."""
    with connection, suppress(OSError):
        while commands := connection.recv(65536).count(b"*"):
            connection.sendall(commands * b"-LOADING Valkey is loading the dataset in memory\r\n")


def test_everything_works_says_check(settings: dict[str, object]) -> None:
    """A line each, no secret, and nothing is left on the broker."""
    ended = overture("check", settings=settings)
    assert (ended.returncode, ended.stderr) == (0, "")
    marks = [line.split()[0] for line in ended.stdout.splitlines()]
    assert set(marks) == {"✓"}
    assert SECRET not in ended.stdout


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("appendonly", "no", "appendonly is off: a server restart loses its data; set it to yes"),
        ("appendfsync", "everysec", f"appendfsync is everysec: {CAN_LOSE} the last second; {SET}"),
        ("appendfsync", "no", f"appendfsync is no: {CAN_LOSE} the last writes; {SET}"),
    ],
)
def test_check_warns_of_a_store_that_forgets(
    simulator: SimulatorProcess, own_server: RedisServer, option: str, value: str, said: str
) -> None:
    """It can be used all the same, so that the status says nothing of it."""
    with own_server.client() as client:
        client.config_set(option, value)
    settings = {"broker_url": own_server.url, **ONE_ACCOUNT, "domain_api_url": simulator.url}
    ended = overture("check", settings=settings)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"! durability: {said}" in ended.stdout.splitlines()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"client_secret": "hunter2"}, "✗ account 12345678: got no AppJWT: "),
        ({"domain_api_url": "http://127.0.0.1:1"}, "✗ account 12345678: its services cannot "),
        ({"domain_api_url": "http://example.com"}, "✗ "),
        (
            {"broker_url": "amqp://guest:hunter2@127.0.0.1:1//"},
            "✗ broker: amqp://guest@127.0.0.1:1",
        ),
        ({"store_url": "redis://:hunter2@127.0.0.1:1"}, "✗ store: redis://127.0.0.1:1 cannot "),
        ({"max_rate": "fast"}, "✗ settings: OVERTURE_MAX_RATE: "),
    ],
)
def test_what_does_not_work_is_said_with_what_to_do(
    simulator: SimulatorProcess, valkey_url: str, changes: dict[str, object], line: str
) -> None:
    """The other things are tried all the same, and no secret is shown."""
    settings = {
        "broker_url": valkey_url,
        "store_url": valkey_url,
        **ONE_ACCOUNT,
        "domain_api_url": simulator.url,
        **changes,
    }
    ended = overture("check", settings=settings)
    assert ended.returncode == 1
    assert any(found.startswith(line) for found in ended.stdout.splitlines()), ended.stdout
    assert "hunter2" not in ended.stdout + ended.stderr


def test_check_says_which_way_it_goes(
    settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a proxy of the environment, or past it, and whom it trusts; without a password."""
    monkeypatch.setenv("HTTP_PROXY", "http://user:canary@127.0.0.1:1")
    api = settings["domain_api_url"]
    through = overture("check", settings=settings)
    assert f"✓ proxy: {api} is reached through the proxy 127.0.0.1:1 (HTTP_PROXY)" in through.stdout
    assert "cannot connect to 127.0.0.1 through the proxy 127.0.0.1:1: " in through.stdout
    assert through.returncode == 1
    assert "canary" not in through.stdout + through.stderr
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    past = overture("check", settings=settings)
    assert f"✓ proxy: {api} is reached directly" in past.stdout
    assert "✓ certificates: those of the system and of certifi are trusted" in past.stdout
    assert past.returncode == 0
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    untrusting = overture("check", settings=settings)
    assert "✗ certificates: REQUESTS_CA_BUNDLE names /nowhere.pem, which" in untrusting.stdout
    assert untrusting.returncode == 1


def test_watching_goes_on_until_ctrl_c(settings: dict[str, object], client: BrokerClient) -> None:
    """Into a pipe it writes plain text, one overview after the other."""
    client.put([job_document(1)])
    with start_overture("watch", "--every", "0.2", settings=settings) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in range(30)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert sum(line.strip().startswith(JOBS_QUEUE) for line in lines) >= 2
    assert "\x1b" not in "".join(lines)
    assert (process.returncode, errors.strip()) == (130, b"")
