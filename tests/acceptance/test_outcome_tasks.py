"""Results and dead letters as Celery tasks, taken by Celery's own worker or by our commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.names import DEAD_LETTERS_QUEUE, RESULTS_QUEUE
from tests.broker_client import BrokerClient
from tests.celery_worker import CeleryWorker
from tests.overture_command import overture
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess
from worker.broker.brokers import broker_at

JOBS = [{"jobId": f"job-{number}", "consumerId": f"consumer-{number}"} for number in range(20)]
EXPIRED = {"jobId": "late", "consumerId": "c-late", "expiresAt": "2026-01-01T00:00:00Z"}


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Name LivePerson and the tasks."""
    tasks = {"results_task": "sender.send", "dead_letters_task": "letters.take"}
    return {**settings, **tasks, "domain_api_url": simulator.url}


@pytest.mark.usefixtures("worker")
def test_a_celery_worker_is_called_with_every_outcome(
    broker_url: str, client: BrokerClient, tmp_path: Path
) -> None:
    """Once each, with the outcome as the only argument; a job done before is told again."""
    file = tmp_path / "taken"
    client.put([*JOBS, EXPIRED])

    def taken() -> list[dict[str, Any]]:
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    variables = {"BROKER_URL": broker_url, "TAKEN": file}
    with CeleryWorker("outcome_task_app", tmp_path, variables, "-l", "info", threads=4):
        wait_until(lambda: len(taken()) == len(JOBS) + 1, "every outcome is taken")
        first = {one["id"]: one for one in taken()}
        client.put(JOBS[:1])
        wait_until(lambda: len(taken()) == len(JOBS) + 2, "the repeated outcome is taken")
    assert taken()[-1] == first["job-0"]
    assert first.keys() == {job["jobId"] for job in (*JOBS, EXPIRED)}
    letter = first.pop("late")
    assert (letter["task"], letter["outcome"]["error"]["code"]) == ("letters.take", "expired")
    assert {one["task"] for one in first.values()} == {"sender.send"}
    assert all(one["outcome"]["jobId"] == name for name, one in first.items())
    assert all(one["outcome"]["conversationId"] for one in first.values())


@pytest.mark.usefixtures("client")
def test_the_commands_read_outcomes_that_are_tasks(
    settings: dict[str, object], broker_url: str, client: BrokerClient
) -> None:
    """As they read plain ones: the envelope is nowhere to be seen."""
    with WorkerProcess(settings) as worker:
        client.put([*JOBS[:3], EXPIRED])
        wait_until(lambda: len(worker.events("job.ended")) == 4, "every job has ended")
        # Acknowledged behind their outcomes.
        assert worker.stop() == 0
    messages = list(broker_at(broker_url).look(RESULTS_QUEUE))
    assert {message.headers["task"] for message in messages} == {"sender.send"}
    peeked = overture("results", "--peek", settings=settings).stdout
    taken = overture("results", settings=settings).stdout
    assert sorted(peeked.splitlines()) == sorted(taken.splitlines())
    assert {json.loads(line)["jobId"] for line in taken.splitlines()} == {
        job["jobId"] for job in JOBS[:3]
    }
    assert "expired" in overture("dead-letters", "list", settings=settings).stdout
    shown = json.loads(overture("dead-letters", "show", "late", settings=settings).stdout)
    assert (shown["job"], shown["status"]) == (EXPIRED, "failed")
    exported = overture("dead-letters", "export", settings=settings).stdout
    assert json.loads(exported) == shown
    replayed = overture("dead-letters", "replay", "late", settings=settings)
    assert replayed.stdout == "replayed 1 dead letter\n"
    with WorkerProcess(settings) as worker:
        wait_until(lambda: worker.events("job.ended"), "the replayed job has ended")
        assert worker.stop() == 0
    (again,) = broker_at(broker_url).look(DEAD_LETTERS_QUEUE)
    assert again.headers["task"] == "letters.take"


def test_a_name_that_is_no_task_is_said_at_the_start(settings: dict[str, object]) -> None:
    """In one sentence each, before anything is declared or taken."""
    wrong = {**settings, "results_task": "no name", "dead_letters_task": "conversations.create"}
    ended = overture("worker", settings=wrong)
    assert ended.returncode != 0
    lines = [line for line in ended.stderr.splitlines() if "_TASK" in line]
    assert len(lines) == 2
    assert "OVERTURE_RESULTS_TASK: must be the name of a Celery task" in ended.stderr
    assert "OVERTURE_DEAD_LETTERS_TASK: must be a task of your own" in ended.stderr
