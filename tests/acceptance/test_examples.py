"""The programs and files in examples/, run as their reader would run them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pytest
from kombu import Connection, Exchange, Queue
from redis import Redis

from config.names import CREATED_KEY, RESULTS_QUEUE
from tests.broker_client import BrokerClient, publish
from tests.jobs import ACCOUNT, SECRET
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import ROOT, WorkerProcess, environment
from worker.broker.brokers import broker_at

EXAMPLES: Final = ROOT / "examples"
TASK: Final = "sender.send"
WITH_RABBITMQ: Final = pytest.mark.xdist_group("rabbitmq")


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """Run LivePerson for any account."""
    with SimulatorProcess("--seed", "1", "--any-account") as process:
        yield process


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Name LivePerson."""
    return {**settings, "domain_api_url": simulator.url}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", ["jobs.jsonl", "jobs.csv"])
def test_a_file_of_jobs_becomes_conversations(
    name: str, settings: dict[str, object], simulator: SimulatorProcess
) -> None:
    """Every line is a valid job, and LivePerson takes it."""
    command = [sys.executable, "-m", "console", "submit", str(EXAMPLES / name), "--wait"]
    found = subprocess.run(
        command, env=environment(settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr
    lines = (EXAMPLES / name).read_text().splitlines()
    count = len(lines) - (1 if name.endswith(".csv") else 0)
    assert f"created {count}" in found.stdout
    assert len(simulator.conversations()) == count


@pytest.fixture(params=["send_stage.py", "send_stage_celery.py"])
def stage(
    request: pytest.FixtureRequest, settings: dict[str, object], tmp_path: Path
) -> Iterator[Stage]:
    """Give each SEND stage in turn, not yet started; workers publish for it what it takes."""
    if request.param == "send_stage_celery.py":
        settings["results_task"] = TASK
    found = Stage(request.param, settings, tmp_path)
    yield found
    found.close()


@pytest.fixture
def opener(
    stage: Stage, settings: dict[str, object], client: BrokerClient
) -> Iterator[WorkerProcess]:
    """Run a worker that publishes for the stage."""
    del stage, client
    with WorkerProcess(settings) as process:
        yield process


@pytest.fixture
def without_fsync(store: Redis) -> Iterator[None]:
    """Have Valkey wait for no disk, which takes most of the time; the test kills nothing."""
    store.config_set("appendfsync", "no")
    yield
    store.config_set("appendfsync", "always")


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("without_fsync")
def test_a_thousand_results_become_a_thousand_messages(
    stage: Stage, settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Each is sent once, though a fifth of the results comes twice, at once or later."""
    jobs = [{"jobId": f"job-{n}", "consumerId": f"consumer-{n}"} for n in range(1000)]
    fast = {**settings, "max_rate": 5000, "max_in_flight": 200}
    with WorkerProcess(fast, concurrency=50) as worker:
        client.put([*jobs, *jobs[:100]])
        stage.start()
        wait_until(lambda: calls(simulator, "send") >= 500, "half of them are sent", seconds=60)
        client.put(jobs[:100])
        wait_until(lambda: len(worker.events("job.ended")) == 1200, "all is out", seconds=60)
        assert worker.stop() == 0
    wait_until(lambda: calls(simulator, "send") >= 1000, "all of them are sent", seconds=60)
    wait_until(lambda: client.waiting(RESULTS_QUEUE) == 0, "every result is taken", seconds=60)
    assert stage.stop() == 0
    # What was not acknowledged when the stage was stopped is back in the queue: copies of what was
    # sent, below.
    found = _sent(simulator)
    assert len(found) == 1000
    assert {len(messages) for messages in found.values()} == {1}
    assert stage.parked() == []
    # Both tokens were kept: one AppJWT, and one ConsumerJWS for each consumer.
    assert (calls(simulator, "send"), calls(simulator, "sentinel")) == (1000, 2)
    assert calls(simulator, "idp") == 2000


def test_a_stage_sends_what_the_job_says(
    stage: Stage, settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """The job's own text as its own consumer, for its own account, with its client properties.

    A message that comes too late to be automatic is sent, and said to be late.
    """
    settings |= second_account(settings)
    properties = {"type": ".ClientProperties", "features": ["AUTO_MESSAGES"]}
    texts = {f"job-{number}": f"Message {number}: grüß dich" for number in range(6)}
    jobs: list[dict[str, Any]] = [
        {
            "jobId": name,
            "consumerId": f"consumer-{name}",
            "accountId": ("12345678", "87654321")[number % 2],
            "metadata": {"firstMessage": text},
        }
        for number, (name, text) in enumerate(texts.items())
    ]
    for job in jobs[::2]:
        job["clientProperties"] = properties
    with WorkerProcess(settings):
        client.put(jobs[:2])
        late = _results(client, 2)
        for result in late:
            result["createdAt"] = "2026-01-31T09:00:01.250Z"
        stage.publish(late)
        stage.start()
        client.put(jobs[2:])
        wait_until(lambda: len(_sent(simulator)) == len(texts), "every message is sent")
    assert stage.stop() == 0
    assert _sent(simulator) == {f"consumer-{name}": [text] for name, text in texts.items()}
    assert client.take().results == []
    said = [line for line in stage.output().splitlines() if "automatic messages" in line]
    assert len(said) == 1
    assert "job-0" in said[0]


def test_what_is_refused_is_parked_and_can_be_sent_again(
    stage: Stage, settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """A closed conversation, another's, an account that is not known: none holds up the others.

    A 503 is tried again. After a restart what was parked can be sent again, once its cause is gone;
    here the account is configured then. What was sent is recognised.
    """
    second = second_account(settings)
    with WorkerProcess({**settings, **second}):
        account = {2: "87654321"}
        client.put(
            {
                "jobId": f"job-{n}",
                "consumerId": f"consumer-{n}",
                "accountId": account.get(n, ACCOUNT),
            }
            for n in range(5)
        )
        results = _results(client, 5)
    simulator.control("close", {"consumer": "consumer-0"})
    results[1]["consumerId"] = "consumer-0"
    simulator.control("faults", {"consumer": "consumer-3", "fault": "send.server_error"})
    stage.publish(results)
    stage.start()
    wait_until(lambda: len(_sent(simulator)) == 2, "two messages are sent")
    wait_until(lambda: len(stage.parked()) == 3, "three messages are parked")
    assert stage.stop() == 0
    assert _sent(simulator).keys() == {"consumer-3", "consumer-4"}
    reasons = {entry["result"]["jobId"]: entry["reason"] for entry in stage.parked()}
    assert reasons.keys() == {"job-0", "job-1", "job-2"}
    assert "HTTP 400" in reasons["job-0"]
    assert "HTTP 401" in reasons["job-1"]
    assert "87654321 is not configured" in reasons["job-2"]
    assert "job-3: not sent yet: asyncMessagingEnt: HTTP 50" in stage.output()
    # One for each of the worker's accounts, and the stage's.
    assert calls(simulator, "sentinel") == 3
    settings |= second
    stage.send_again()
    assert stage.parked() == []
    stage.publish(results)
    stage.start()
    wait_until(lambda: len(_sent(simulator)) == 3, "the third message is sent")
    wait_until(lambda: client.waiting(RESULTS_QUEUE) == 0, "every result is taken")
    wait_until(lambda: parked_jobs(stage) == {"job-0", "job-1"}, "the others are parked again")
    assert stage.stop() == 0
    greeting = ["Hello! How can we help you?"]
    assert _sent(simulator) == {f"consumer-{n}": greeting for n in (2, 3, 4)}
    assert parked_jobs(stage) == {"job-0", "job-1"}
    assert SECRET not in stage.output()
    assert "eyJ" not in stage.output()


@pytest.mark.usefixtures("opener")
def test_a_token_that_is_taken_back_is_renewed(
    stage: Stage, client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Once for all messages; a refused ConsumerJWS likewise, and each message is sent."""
    client.put([{"jobId": f"job-{n}", "consumerId": f"consumer-{n}"} for n in range(6)])
    results = _results(client, 6)
    fault = {"consumer": "consumer-0", "fault": "send.consumer_token_refused"}
    simulator.control("faults", fault)
    simulator.control("faults", {"consumer": "consumer-1", "fault": "send.token_expired"})
    stage.publish(results)
    stage.start()
    wait_until(lambda: len(_sent(simulator)) == 6, "every message is sent")
    assert stage.stop() == 0
    assert stage.parked() == []
    # The worker's, the stage's first, and that which took its place.
    assert calls(simulator, "sentinel") == 3


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed here")
@pytest.mark.parametrize("task", [None, TASK])
def test_a_reader_in_another_language_loses_nothing(
    valkey_url: str, store: Redis, tmp_path: Path, task: str | None
) -> None:
    """What it had in hand when it was killed comes again; both forms are read."""
    file = tmp_path / "results.jsonl"
    results = [
        {"jobId": f"job-{number}", "metadata": {"text": "grüß dich " * 400}} for number in range(50)
    ]
    publish(valkey_url, CREATED_KEY, [json.dumps(one).encode() for one in results], task=task)
    in_hand = f"{RESULTS_QUEUE}.taken.reader-1"
    with _reader(valkey_url, subprocess.PIPE) as reader:
        assert reader.stdout is not None
        first = json.loads(reader.stdout.readline())
        # Nobody reads on, so that it stands still in the middle of one.
        wait_until(lambda: _stands_still(store), "its pipe is full")
    assert (first, store.llen(in_hand)) == (results[0], 1)
    with file.open("wb") as output, _reader(valkey_url, output) as reader:
        wait_until(lambda: not store.exists(RESULTS_QUEUE, in_hand), "every result is handled")
        reader.send_signal(signal.SIGTERM)
        assert reader.wait(10) == 0
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert found == results[-len(found) :]
    assert 50 - len(found) < 20  # as many as fit into a pipe


@contextmanager
def _reader(url: str, output: IO[bytes] | int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the reader in Node, and kill it at the end."""
    command = ["node", str(EXAMPLES / "read_results.mjs"), "reader-1"]
    process = subprocess.Popen(command, env=environment({"broker_url": url}), stdout=output)
    with process:
        try:
            yield process
        finally:
            process.kill()


def _stands_still(store: Redis) -> bool:
    before = store.llen(RESULTS_QUEUE)
    time.sleep(0.3)
    is_held = store.llen(f"{RESULTS_QUEUE}.taken.reader-1") == 1
    return bool(is_held and store.llen(RESULTS_QUEUE) == before)


class Stage:
    """A SEND stage as a process, which can be started again."""

    def __init__(self, name: str, settings: dict[str, object], folder: Path) -> None:
        self._is_celery = name == "send_stage_celery.py"
        self._settings, self._notes = settings, folder / "sent.db"
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the stage
        self._process: subprocess.Popen[str] | None = None
        if self._is_celery:
            self._empty("send-stage.later", "send-stage.parked")

    def _empty(self, *names: str) -> None:
        """Declare its own queues as it does, and take out what another test left there."""
        exchange = Exchange("send-stage", type="topic")
        arguments = {"x-queue-type": "quorum"}
        with Connection(self._broker_url) as connection:
            for name in names:
                queue = Queue(name, exchange, routing_key=name, queue_arguments=arguments)
                bound = queue.bind(connection.default_channel)
                bound.declare()
                bound.purge()

    def start(self) -> None:
        """Start it."""
        options = "worker --loglevel info --pool threads --concurrency 20 --without-mingle"
        command = (
            ["-m", "celery", "--app", "send_stage_celery", *options.split()]
            if self._is_celery
            else [str(EXAMPLES / "send_stage.py"), str(self._notes)]
        )
        self._process = subprocess.Popen(
            [sys.executable, *command],
            env=self._environment(),
            stdout=self._output,
            stderr=self._output,
            text=True,
        )

    def stop(self) -> int:
        """End it as an operator would; returns its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    def close(self) -> None:
        """End it in any case."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        print(self.output()[-6000:])  # pytest shows it beside a failure
        self._output.close()

    def publish(self, results: Iterable[dict[str, Any]]) -> None:
        """Publish results as a worker publishes them for this stage."""
        bodies = [json.dumps(result).encode() for result in results]
        publish(self._broker_url, CREATED_KEY, bodies, task=TASK if self._is_celery else None)

    def parked(self) -> list[dict[str, Any]]:
        """Return what it has put aside."""
        if self._is_celery:
            return [
                json.loads(one.body)
                for one in broker_at(self._broker_url).look("send-stage.parked")
            ]
        lines = self._run("send_stage.py", str(self._notes), "--parked").splitlines()
        return [json.loads(line) for line in lines]

    def send_again(self) -> None:
        """Have it send again what it has put aside."""
        if self._is_celery:
            self._run("send_stage_celery.py")
        else:
            self._run("send_stage.py", str(self._notes), "--again")

    def output(self) -> str:
        """Return what it has written."""
        return os.pread(self._output.fileno(), 50_000_000, 0).decode()

    @property
    def _broker_url(self) -> str:
        return str(self._settings["broker_url"])

    def _environment(self) -> dict[str, str]:
        path = f"{EXAMPLES}{os.pathsep}{ROOT}"
        return {**environment(self._settings), "PYTHONPATH": path, "SEND_RATE": "2000"}

    def _run(self, name: str, *arguments: str) -> str:
        command = [sys.executable, str(EXAMPLES / name), *arguments]
        return subprocess.run(
            command, env=self._environment(), stdout=subprocess.PIPE, text=True, check=True
        ).stdout


def _results(client: BrokerClient, count: int) -> list[dict[str, Any]]:
    """Take the results of all jobs, by their ids."""
    found = client.wait_for(count).by_job()
    client.out.results.clear()
    return [found[name] for name in sorted(found)]


def parked_jobs(stage: Stage) -> set[str]:
    """Return the ids of what it has put aside."""
    return {entry["result"]["jobId"] for entry in stage.parked()}


def second_account(settings: dict[str, object]) -> dict[str, object]:
    """Return the settings of another account."""
    names = ("CLIENT_ID", "CLIENT_SECRET")
    return {f"accounts__87654321__{name}": settings[name.lower()] for name in names}


def calls(simulator: SimulatorProcess, endpoint: str) -> int:
    """Return how often a service was called."""
    return sum(simulator.stats()["total"]["calls"].get(endpoint, {}).values())


def _sent(simulator: SimulatorProcess) -> dict[str, list[str]]:
    """Return the messages that LivePerson has, by consumer."""
    return {
        found["extConsumerId"]: [event["message"] for event in found["messages"]]
        for found in simulator.conversations()
        if found["messages"]
    }
