"""`celery -A worker.app worker` is the same worker as `overture worker`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess, environment

CELERY = (str(Path(sys.executable).parent / "celery"), "-A", "worker.app", "worker")
# What a user may have beside it, such as a logger of their own.
LISTENER = """
import sys
from celery import signals

@signals.worker_ready.connect
@signals.task_success.connect
@signals.worker_shutting_down.connect
def tell(signal, **facts):
    print("heard", signal.name, facts.get("sig", ""), file=sys.stderr, flush=True)
"""


class CeleryCommand(WorkerProcess):
    """A worker that Celery's own command has started, with options of Celery's."""

    def __init__(
        self, settings: Mapping[str, object], *options: str, beside: Path | None = None
    ) -> None:
        """`beside` is a folder with modules of the user's."""
        super().__init__(settings)
        self._command = [*CELERY, *options]
        if beside is not None:
            self._environment["PYTHONPATH"] += f"{os.pathsep}{beside}"


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Name LivePerson."""
    return {**settings, "domain_api_url": simulator.url, "max_rate": 1000}


def test_celerys_command_runs_it_with_its_promises(
    settings: dict[str, object],
    client: BrokerClient,
    simulator: SimulatorProcess,
    tmp_path: Path,
) -> None:
    """Jobs of every kind are done; SIGTERM finishes what is in hand, and the status is 0."""
    (tmp_path / "listener.py").write_text(LISTENER)
    simulator.control("limits", {"latency": 300})
    with CeleryCommand(settings, "-c", "5", "-I", "listener", beside=tmp_path) as worker:
        assert worker.events("worker.ready")[0]["slots"] == 5
        client.send_task(job_document(100))
        client.put_raw([b"{nope"])
        client.wait_until(lambda out: out.results and out.dead_letters, "both outcomes")
        client.put([job_document(number) for number in range(40)])
        wait_until(lambda: simulator.stats()["total"]["inFlight"] >= 5, "calls are under way")
        assert worker.stop() == 0
        assert worker.events("worker.drained")[0]["handed_back"] == 0
        heard = [line.split()[1:] for line in worker.output().splitlines() if "heard" in line]
    assert heard[0] == ["worker_ready"]
    assert ["task_success"] in heard
    assert ["worker_shutting_down", "SIGTERM"] in heard
    done = client.take().results
    assert 6 <= len(done) < 41
    assert len(simulator.conversations()) == len(done) == len({r["jobId"] for r in done})


def test_a_killed_one_loses_nothing(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """What it had in hand is done by a worker that was started in the other way."""
    simulator.control("limits", {"latency": 600})
    with CeleryCommand(settings, "-c", "10") as first:
        client.put([job_document(number) for number in range(10)])
        wait_until(lambda: simulator.stats()["total"]["inFlight"] >= 5, "calls are under way")
        first.kill()
    simulator.control("limits", {"latency": 0})
    with WorkerProcess(settings):
        out = client.wait_for(10, seconds=40)
    assert (len(out.by_job()), out.dead_letters) == (10, [])
    assert len(simulator.conversations()) == 10


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ({}, (), "no account is configured"),
        ({**ONE_ACCOUNT, "max_rate": "fast"}, (), "OVERTURE_MAX_RATE"),
        (ONE_ACCOUNT, ("-P", "solo"), "--pool"),
        (ONE_ACCOUNT, ("--autoscale", "9,1"), "--autoscale"),
        (ONE_ACCOUNT, ("--purge",), "--purge"),
        ({**ONE_ACCOUNT, "broker_url": "redis://127.0.0.1:9/0"}, (), "the store at"),
        ({**ONE_ACCOUNT, "broker_url": "sqs://"}, (), "OVERTURE_BROKER_URL"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str | tuple) else "",
)
def test_what_is_wrong_is_said_in_a_sentence(
    settings: dict[str, object], options: tuple[str, ...], said: str
) -> None:
    """As `overture worker` says it; an option that would take a promise away is refused."""
    ended = subprocess.run(
        [*CELERY, *options],
        env=environment(settings),
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("overture: ")
    assert said in line
