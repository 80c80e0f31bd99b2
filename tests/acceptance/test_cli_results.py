"""`overture results` against real brokers: nothing is gone that was not written."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from config.names import CREATED_KEY, RESULTS_QUEUE
from tests.broker_client import publish
from tests.overture_command import overture, start_overture
from tests.waiting import wait_until
from tests.worker_process import environment
from worker.broker.brokers import broker_at


def result(number: int, **fields: Any) -> dict[str, Any]:
    """Make a result."""
    return {
        "jobId": f"job-{number}",
        "accountId": "1",
        "consumerId": f"consumer-{number}",
        "status": "created",
        "conversationId": f"conversation-{number}",
        "dialogId": f"conversation-{number}",
        "attempts": 1,
        "createdAt": "2026-01-31T09:00:01.250Z",
        **fields,
    }


def publish_results(broker_url: str, numbers: Iterable[int], **fields: Any) -> None:
    """Publish results of these numbers."""
    publish(
        broker_url,
        CREATED_KEY,
        [json.dumps(result(number, **fields)).encode() for number in numbers],
    )


def left(broker_url: str) -> list[int]:
    """Return the numbers of the results in the queue, in their order."""
    seen = [json.loads(message.body) for message in broker_at(broker_url).look(RESULTS_QUEUE)]
    return [int(one["jobId"].removeprefix("job-")) for one in seen]


def numbers(output: str) -> list[int]:
    """Return the numbers of the results in JSON Lines."""
    return [int(json.loads(line)["jobId"].removeprefix("job-")) for line in output.splitlines()]


def test_results_are_taken_in_their_order(settings: dict[str, object], broker_url: str) -> None:
    """--limit takes so many, and without it the rest; then there are none."""
    publish_results(broker_url, range(10))
    assert numbers(overture("results", "--limit", "4", settings=settings).stdout) == [0, 1, 2, 3]
    ended = overture("results", settings=settings)
    assert (numbers(ended.stdout), ended.returncode) == ([4, 5, 6, 7, 8, 9], 0)
    ended = overture("results", settings=settings)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


def test_peeking_takes_nothing(settings: dict[str, object], broker_url: str) -> None:
    """Whoever takes afterwards gets everything; from Redis in the order of its publication."""
    publish_results(broker_url, range(20))
    for limit in (2, 20, 9, 2):
        ended = overture("results", "--peek", "--limit", str(limit), settings=settings)
        assert len(numbers(ended.stdout)) == limit
        assert (ended.returncode, ended.stderr) == (0, "")
    taken = numbers(overture("results", settings=settings).stdout)
    if broker_url.startswith("redis"):
        assert taken == list(range(20))
    assert sorted(taken) == list(range(20))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_following_ends_well_when_asked_to(
    settings: dict[str, object], broker_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    """It writes what comes as it comes, until a signal."""
    file = tmp_path / "results.jsonl"
    with start_overture("results", "--follow", "--output", str(file), settings=settings) as process:
        wait_until(file.exists, "the command has begun")
        publish_results(broker_url, [1])
        wait_until(lambda: numbers(file.read_text()) == [1], "the first result is written")
        publish_results(broker_url, [2, 3])
        wait_until(lambda: numbers(file.read_text()) == [1, 2, 3], "the others are written")
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, b"")
    assert left(broker_url) == []


def test_what_was_not_written_stays_in_the_queue(
    settings: dict[str, object], broker_url: str, tmp_path: Path
) -> None:
    """A command that is killed while nobody reads its output has acknowledged nothing of it."""
    publish_results(broker_url, range(100), metadata={"padding": "x" * 4000})
    reader, writer = os.pipe()
    with start_overture("results", settings=settings, stdout=writer) as process:
        os.close(writer)
        wait_until(lambda: os.read(reader, 1), "the first result is on its way")
        process.kill()
    os.close(reader)
    file = tmp_path / "results.jsonl"
    command = ("results", "--follow", "--limit", "100", "--output", str(file))
    with start_overture(*command, settings=settings) as process:
        # A Redis broker gives what a killed process had in hand back after ten seconds.
        assert process.wait(40) == 0
    assert sorted(numbers(file.read_text())) == list(range(100))


def test_a_reader_that_has_enough_is_no_error(settings: dict[str, object], broker_url: str) -> None:
    """`overture results | head -1` says nothing, and takes what was shown."""
    publish_results(broker_url, range(11))
    with start_overture("results", settings=settings) as process:
        assert process.stdout is not None
        assert numbers(process.stdout.readline().decode()) == [0]
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(20) == 1
    assert sorted(left(broker_url)) == list(range(1, 11))


def test_a_reader_takes_as_many_as_it_wants(settings: dict[str, object], broker_url: str) -> None:
    """In a shell, whatever the form, and with others behind them in the pipe."""
    publish_results(broker_url, range(11), metadata={"padding": "x" * 400})
    for form, lines in (("jsonl", 1), ("csv", 3), ("table", 1)):
        command = f"{sys.executable} -m console results --format {form} | head -{lines}"
        process = subprocess.run(
            command, shell=True, env=environment(settings), capture_output=True, check=True
        )
        assert (len(process.stdout.splitlines()), process.stderr) == (lines, b"")
    assert sorted(left(broker_url)) == list(range(3, 11))


def test_a_csv_file_goes_on_where_it_ended(
    settings: dict[str, object], broker_url: str, tmp_path: Path
) -> None:
    """It is appended to: what it holds is nowhere else. A line that was cut short stays apart."""
    file = tmp_path / "results.csv"
    command = ("results", "--format", "csv", "--output", str(file))
    publish_results(broker_url, [1, 2])
    assert overture(*command, settings=settings).returncode == 0
    with file.open("a") as torn:
        torn.write("job-3,1,consu")
    publish_results(broker_url, [3])
    assert overture(*command, settings=settings).returncode == 0
    with file.open(newline="") as rows:
        ids = [row[0] for row in csv.reader(rows)]
    assert ids == ["jobId", "job-1", "job-2", "job-3", "job-3"]


def test_what_is_no_result_is_left_where_it_is(
    settings: dict[str, object], broker_url: str
) -> None:
    """The others are taken, and somebody is told."""
    publish(broker_url, CREATED_KEY, [b"\xff", json.dumps(result(1)).encode(), b"[]"])
    ended = overture("results", settings=settings)
    assert (numbers(ended.stdout), ended.returncode) == ([1], 1)
    assert (
        ended.stderr == "overture: left in the queue: 2 messages that cannot be read as a result\n"
    )
    assert [seen.body for seen in broker_at(broker_url).look(RESULTS_QUEUE)] == [b"\xff", b"[]"]


def test_a_full_disk_loses_nothing(settings: dict[str, object], broker_url: str) -> None:
    """The sentence names the file, and the results stay."""
    publish_results(broker_url, range(3))
    ended = overture("results", "--output", "/dev/full", settings=settings)
    assert ended.returncode == 1
    assert ended.stderr == "overture: /dev/full cannot be written: No space left on device\n"
    assert left(broker_url) == [0, 1, 2]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@127.0.0.1:1/0", "redis://127.0.0.1:1/0"),
        ("amqp://guest:hunter2@127.0.0.1:1//", "amqp://guest@127.0.0.1:1//"),
    ],
)
def test_a_broker_that_is_away_is_named(valkey_url: str, url: str, shown: str) -> None:
    """In one sentence that holds no password."""
    ended = overture("results", settings={"broker_url": url, "store_url": valkey_url})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"overture: the broker at {shown} cannot be used: ")
    assert "hunter2" not in ended.stderr


def test_standard_output_is_brought_to_disk_where_it_is_a_file(
    settings: dict[str, object], broker_url: str, tmp_path: Path
) -> None:
    """`overture results > file` is as safe as --output."""
    publish_results(broker_url, range(3))
    with (tmp_path / "file").open("wb") as file:
        process: subprocess.Popen[bytes]
        with start_overture("results", settings=settings, stdout=file) as process:
            assert process.wait(20) == 0
    assert numbers((tmp_path / "file").read_text()) == [0, 1, 2]
    assert left(broker_url) == []


def test_nothing_is_taken_where_nothing_can_be_written(
    settings: dict[str, object], broker_url: str
) -> None:
    """A closed standard output would swallow the results."""
    publish_results(broker_url, range(3))
    command = f"{sys.executable} -m console results >&-"
    process = subprocess.run(
        command, shell=True, env=environment(settings), capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert process.stderr.startswith("overture: standard output is closed")
    assert left(broker_url) == [0, 1, 2]
