"""The programs and files in examples/, run as their reader would run them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import pytest

from config.names import CREATED_KEY, JOBS_QUEUE, account_queue
from tests.broker_client import BrokerClient, publish
from tests.jobs import SECRET
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import ROOT, environment

EXAMPLES: Final = ROOT / "examples"
WITH_RABBITMQ: Final = pytest.mark.xdist_group("rabbitmq")


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Name LivePerson."""
    return {**settings, "domain_api_url": simulator.url}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("name", "broker_url"),
    [
        ("enqueue_celery.py", "valkey"),
        pytest.param("enqueue_celery.py", "rabbitmq", marks=WITH_RABBITMQ),
        pytest.param("enqueue_amqp.py", "rabbitmq", marks=WITH_RABBITMQ),
    ],
    indirect=["broker_url"],
)
def test_a_program_enqueues_a_job(name: str, settings: dict[str, object], broker_url: str) -> None:
    """The job whose id it prints has its conversation, on every broker that it can talk to."""
    job_id = _run(name, {**settings, "broker_url": broker_url}).strip()
    with BrokerClient(broker_url) as client:
        (result,) = client.wait_for(1).results
    assert (result["jobId"], result["status"]) == (job_id, "created")


@WITH_RABBITMQ
@pytest.mark.parametrize("name", ["enqueue_celery.py", "enqueue_amqp.py"])
def test_a_program_does_not_lose_a_job_for_want_of_a_queue(
    name: str, rabbit_url: str, tmp_path: Path
) -> None:
    """Where no queue takes the job, its producer fails."""
    program = tmp_path / name
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert JOBS_QUEUE in text
    program.write_text(text.replace(JOBS_QUEUE, account_queue("nobody")))
    found = _start(program, {"broker_url": rabbit_url})
    output, complaints = found.communicate(timeout=30)
    assert found.returncode != 0
    assert output == ""
    assert "NO_ROUTE" in complaints or "UnroutableError" in complaints


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


@pytest.mark.usefixtures("worker")
def test_the_send_stage_sends_each_conversation_its_first_message(
    settings: dict[str, object], broker_url: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """It sends the job's own text as the job's own consumer, with the job's client properties."""
    properties = {"type": ".ClientProperties", "features": ["AUTO_MESSAGES"]}
    texts = {f"job-{number}": f"Message {number}: grüß dich" for number in range(5)}
    with BrokerClient(broker_url) as client, _Stage(settings, tmp_path) as stage:
        client.put(
            {
                "jobId": name,
                "consumerId": f"consumer-{name}",
                "clientProperties": properties,
                "metadata": {"firstMessage": text},
            }
            for name, text in texts.items()
        )
        wait_until(lambda: len(_sent(simulator)) == len(texts), "every message is sent")
        assert stage.stop() == 0
        assert _sent(simulator) == {f"consumer-{name}": [text] for name, text in texts.items()}
        assert client.take().results == []


@pytest.mark.usefixtures("worker")
def test_the_send_stage_takes_a_result_that_comes_twice_once(
    settings: dict[str, object], broker_url: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Also across its own restart: its notes are on disk."""
    with BrokerClient(broker_url) as client:
        client.put([{"jobId": f"job-{n}", "consumerId": f"consumer-{n}"} for n in range(3)])
        first, *others = client.wait_for(3).by_job().values()
        for number, other in enumerate(others, start=1):
            _publish(broker_url, [first, first, other])
            with _Stage(settings, tmp_path) as stage:
                wait_until(lambda: len(_sent(simulator)) > number, "the last is sent")  # noqa: B023 - called before it changes
                assert stage.stop() == 0
        client.out.results.clear()
        assert client.take().results == []
    assert list(_sent(simulator).values()) == [["Hello! How can we help you?"]] * 3


@pytest.mark.usefixtures("worker")
def test_the_send_stage_repeats_what_a_repeat_can_help(
    settings: dict[str, object], broker_url: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """A 503 is tried again; a conversation that was closed is reported, and the next one sent."""
    with BrokerClient(broker_url) as client:
        client.put([{"jobId": f"job-{n}", "consumerId": f"consumer-{n}"} for n in range(3)])
        results = client.wait_for(3).results
    fault = {"consumer": "consumer-1", "fault": "send.server_error"}
    simulator.control("faults", fault)
    simulator.control("close", {"consumer": "consumer-2"})
    _publish(broker_url, sorted(results, key=lambda result: str(result["jobId"]), reverse=True))
    with _Stage(settings, tmp_path) as stage:
        wait_until(lambda: len(_sent(simulator)) == 2, "two messages are sent")
        assert stage.stop() == 0
        said = stage.output()
    assert set(_sent(simulator)) == {"consumer-0", "consumer-1"}
    assert "job-2: refused: HTTP 400" in said
    assert "job-1: not sent yet: 50" in said
    assert SECRET not in said
    assert "eyJ" not in said


class _Stage:
    """The SEND stage as a process."""

    def __init__(self, settings: dict[str, object], folder: Path) -> None:
        self._settings = settings
        self._notes = folder / "sent.db"
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the stage

    def __enter__(self) -> Self:
        command = [sys.executable, str(EXAMPLES / "send_stage.py"), str(self._notes)]
        env = environment(self._settings)
        self._process = subprocess.Popen(command, env=env, stdout=self._output, stderr=self._output)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        print(self.output())  # pytest shows it beside a failure
        self._output.close()

    def stop(self) -> int:
        """End it as an operator would; returns its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    def output(self) -> str:
        """Return what it has written."""
        self._output.seek(0)
        return self._output.read()


def _start(program: Path, settings: dict[str, object]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, program],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(name: str, settings: dict[str, object]) -> str:
    output, complaints = (found := _start(EXAMPLES / name, settings)).communicate(timeout=30)
    assert found.returncode == 0, complaints
    return output


def _publish(url: str, results: Iterable[dict[str, Any]]) -> None:
    publish(url, CREATED_KEY, [json.dumps(result).encode() for result in results])


def _sent(simulator: SimulatorProcess) -> dict[str, list[str]]:
    """Return the messages that LivePerson has, by consumer."""
    return {
        found["extConsumerId"]: [event["message"] for event in found["messages"]]
        for found in simulator.conversations()
        if found["messages"]
    }
