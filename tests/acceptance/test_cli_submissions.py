"""A file as one thing: interrupted twice, paused, resumed and reported, on real brokers."""

from __future__ import annotations

import csv
import json
import signal
import time
from pathlib import Path

from config.names import JOBS_QUEUE
from tests.broker_client import BrokerClient
from tests.overture_command import overture, start_overture
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess
from worker.broker.base import Broker
from worker.broker.brokers import broker_at

ROWS = 1600
# Takes a while to check, so that there is time to interrupt.
METADATA = json.dumps({f"field-{number}": [number] * 5 for number in range(60)})
PAUSED_SECONDS = 2.0


def write_rows(path: Path) -> Path:
    """Write a file as a spreadsheet does, without ids; one row is bad."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Customer", "profile.firstName", "priority", "metadata"])
        for number in range(ROWS):
            row = [f"consumer-{number}", "Zoë", "x" if number == 7 else number % 10, METADATA]
            writer.writerow(row)
    path.with_suffix(".toml").write_text('[columns]\n"Customer" = "consumerId"\n')
    return path


def interrupted(broker: Broker, file: Path, settings: dict[str, object], *, after: int) -> str:
    """Submit a file, and press Ctrl-C once so many jobs are there; returns what is said last."""
    options = ["--map", str(file.with_suffix(".toml"))]
    with (
        broker.connection() as connection,
        start_overture("submit", str(file), *options, settings=settings) as process,
    ):
        wait_until(lambda: broker.ready(connection, JOBS_QUEUE) >= after, "jobs are there")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    return errors.decode().splitlines()[-1]


def test_each_row_becomes_one_conversation_and_one_line_of_the_report(
    settings: dict[str, object], broker_url: str, tmp_path: Path
) -> None:
    """Whatever interrupts it; and nothing is sent twice, or sent while it is paused."""
    broker, file = broker_at(broker_url), write_rows(tmp_path / "spring.csv")
    with BrokerClient(broker_url) as client, SimulatorProcess() as simulator:
        settings = {
            **settings,
            "domain_api_url": simulator.url,
            "max_rate": 5000,
            "max_in_flight": 200,
        }
        for after in (1, ROWS // 2):
            said = interrupted(broker, file, settings, after=after)
            assert said.endswith("; submit the file again to go on from there")
        listed = overture("submissions", "list", "--format", "json", settings=settings)
        ((name, state),) = [
            (one["submissionId"], one["state"]) for one in json.loads(listed.stdout)
        ]
        assert state == "sending"
        assert overture("submissions", "pause", name, settings=settings).returncode == 0
        options = ["--map", str(file.with_suffix(".toml"))]
        ended = overture("submit", str(file), *options, settings=settings)
        assert ended.returncode == 1
        assert (
            f"overture: 1 line rejected, with the reasons in {file}.rejected.jsonl" in ended.stderr
        )
        assert "sent by an earlier run that broke off" in ended.stdout
        with broker.connection() as connection:
            assert broker.ready(connection, JOBS_QUEUE) == ROWS - 1
        with WorkerProcess(settings):
            until = time.monotonic() + PAUSED_SECONDS
            wait_until(lambda: time.monotonic() > until, "nothing is sent")
            assert simulator.stats()["total"]["conversationsCreated"] == 0
            assert overture("submissions", "resume", name, settings=settings).returncode == 0
            client.wait_for(ROWS - 1, seconds=120)
        assert simulator.stats()["total"]["conversationsCreated"] == ROWS - 1
        shown = overture("submissions", "show", name, "--format", "json", settings=settings)
        found = json.loads(shown.stdout)
        assert (found["state"], found["total"], found["rejected"]) == ("done", ROWS - 1, 1)
        assert found["outcomes"] == {"created": ROWS - 1}
        report = tmp_path / "report.csv"
        ended = overture(
            *("submissions", "report", name, "--format", "csv", "--output", str(report)),
            settings=settings,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        opened = {one["conversationId"] for one in simulator.conversations()}
    with report.open(newline="", encoding="utf-8-sig") as written:
        rows = list(csv.DictReader(written, delimiter=";"))
    assert [row["Customer"] for row in rows] == [f"consumer-{number}" for number in range(ROWS)]
    assert [row["line"] for row in rows if row["outcome"] != "created"] == ["9"]
    created = [row for row in rows if row["outcome"] == "created"]
    assert len({row["jobId"] for row in created}) == len(created) == ROWS - 1
    assert {row["conversationId"] for row in created} == opened
