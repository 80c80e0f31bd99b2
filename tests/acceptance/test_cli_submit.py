"""`overture submit` against real brokers: what goes, what does not, and what is said about it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from config.names import JOBS_QUEUE
from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.overture_command import overture, start_overture
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess, environment
from worker.broker.brokers import broker_at

BAD = ["nonsense", '{"jobId":"typo","consumerId":"c","profil":{}}']


def write_jobs(path: Path, count: int, *, extra: list[str] | None = None) -> Path:
    """Write a file of jobs, with other lines behind the first one."""
    lines = [json.dumps(job_document(number)) for number in range(count)]
    path.write_text("\n".join([lines[0], *(extra or []), *lines[1:]]) + "\n")
    return path


def enqueued(broker_url: str) -> list[dict[str, Any]]:
    """Return the jobs that wait in the queue, in their order."""
    return [json.loads(seen.body) for seen in broker_at(broker_url).look(JOBS_QUEUE)]


def told(output: str) -> tuple[list[str], str]:
    """Return what is said before the submission is named, and its name."""
    *said, last = output.splitlines()
    found = re.fullmatch(r"submission (\S+); overture submissions show \1 follows it", last)
    assert found, last
    return said, found[1]


def test_good_lines_go_and_bad_ones_are_kept(
    settings: dict[str, object], broker_url: str, tmp_path: Path
) -> None:
    """The bad ones are reported by line, counted, and written beside the file to be corrected."""
    file = write_jobs(tmp_path / "jobs.jsonl", 3, extra=BAD)
    ended = overture("submit", str(file), settings=settings)
    assert ended.returncode == 1
    said, label = told(ended.stdout)
    assert said == ["submitted 3 jobs to conversations.jobs"]
    assert ended.stderr.splitlines() == [
        "overture: line 2: the line is not JSON: Expecting value at column 1",
        "overture: line 3: profil: is not a known field; did you mean profile?",
        f"overture: 2 lines rejected, with the reasons in {file}.rejected.jsonl",
    ]
    assert enqueued(broker_url) == [job_document(number, submissionId=label) for number in range(3)]
    kept = Path(f"{file}.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line).get("job", {}).get("jobId") for line in kept] == [None, "typo"]
    assert [json.loads(line)["line"] for line in kept] == [2, 3]


def test_all_or_nothing_sends_nothing_if_one_line_is_bad(
    settings: dict[str, object], broker_url: str, tmp_path: Path
) -> None:
    """Also from standard input, which can be read but once."""
    file = write_jobs(tmp_path / "jobs.jsonl", 2, extra=BAD)
    ended = overture("submit", str(file), "--all-or-nothing", settings=settings)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1] == "overture: nothing was submitted"
    good = write_jobs(tmp_path / "good.jsonl", 2)
    ended = overture("submit", "-", "--all-or-nothing", settings=settings, stdin=good.read_bytes())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(enqueued(broker_url)) == 2


def test_a_dry_run_needs_no_broker(tmp_path: Path) -> None:
    """It only says what would be wrong."""
    file = write_jobs(tmp_path / "jobs.jsonl", 2, extra=BAD)
    nowhere = {"broker_url": "redis://127.0.0.1:1"}
    ended = overture("submit", str(file), "--dry-run", "--account", "7", settings=nowhere)
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        "2 valid jobs; none was submitted",
        "2 jobs without campaign or engagement: no source for agents and reports",
        "2 jobs without profile: agents see nothing about the consumer",
    ]


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.json"])
def test_csv_and_arrays_are_submitted_too(
    settings: dict[str, object], broker_url: str, tmp_path: Path, name: str
) -> None:
    """A job without jobId gets one, the same one if it is submitted again."""
    file = tmp_path / name
    text = {"jobs.csv": "consumerId,priority\nc,3\n", "jobs.json": '[{"consumerId":"c"}]'}[name]
    file.write_text(text)
    for _ in range(2):
        ended = overture("submit", str(file), settings=settings)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "1 job had no jobId" in ended.stdout
    first, second = enqueued(broker_url)
    assert first == second
    assert first["consumerId"] == "c"


def test_memory_stays_the_same_however_long_the_file_is(tmp_path: Path) -> None:
    """The file is a stream; so a million lines are no other thing than a thousand."""
    peaks = []
    for count in (1_000, 30_000):
        file = write_jobs(tmp_path / f"{count}.jsonl", count)
        code = (
            "import resource, sys; from console import main\n"
            f"try: main(['submit', {str(file)!r}, '--dry-run', '--account', '7'])\n"
            "except SystemExit: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        process = subprocess.run(
            [sys.executable, "-c", code],
            env=environment({}),
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(process.stdout.splitlines()[-1]))
    small, large = peaks
    assert large - small < 8 * 1024, f"{small} KiB became {large} KiB"


def test_an_outage_leaves_no_doubt_about_what_is_submitted(own_server: RedisServer) -> None:
    """The command says how far it came, and --skip goes on from there: nothing is missing."""
    settings = {"broker_url": own_server.url}
    lines = [json.dumps(job_document(number, accountId="1")) for number in range(1200)]
    with start_overture("submit", "-", settings=settings) as process:
        assert process.stdin is not None
        process.stdin.write("\n".join(lines[:700]).encode() + b"\n")
        process.stdin.flush()
        with own_server.client() as client:
            wait_until(lambda: client.llen(JOBS_QUEUE) == 500, "the first batch is there")
        own_server.kill()
        _, errors = process.communicate("\n".join(lines[700:]).encode(), timeout=60)
    said = errors.decode().splitlines()
    assert process.returncode == 1
    assert said[0].startswith(f"overture: the broker at redis://127.0.0.1:{own_server.port}/0 ")
    assert said[1:] == [
        "overture: 500 jobs confirmed, all up to line 500; continue with --skip 500"
    ]
    own_server.start()
    text = "\n".join(lines).encode()
    ended = overture("submit", "-", "--skip", "500", settings=settings, stdin=text)
    said, _ = told(ended.stdout)
    assert (ended.returncode, said) == (0, ["submitted 700 jobs to conversations.jobs"])
    assert {job["jobId"] for job in enqueued(own_server.url)} == {f"job-{n}" for n in range(1200)}


def test_ctrl_c_says_what_is_submitted(settings: dict[str, object], broker_url: str) -> None:
    """It ends with status 130, and what is confirmed stays."""
    lines = [json.dumps(job_document(number)) for number in range(1100)]
    with (
        broker_at(broker_url).connection() as connection,
        start_overture("submit", "-", settings=settings) as process,
    ):
        assert process.stdin is not None
        process.stdin.write("\n".join(lines).encode() + b"\n")
        process.stdin.flush()
        wait_until(
            lambda: broker_at(broker_url).ready(connection, JOBS_QUEUE) == 1000,
            "two batches are there",
        )
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    # The second batch may be there before its confirmation is.
    assert errors.decode().strip() in {
        f"overture: {count} jobs confirmed, all up to line {count}; continue with --skip {count}"
        for count in (500, 1000)
    }


def test_jobs_wait_on_disk_where_nothing_is_configured(tmp_path: Path) -> None:
    """The embedded server keeps them until a worker runs."""
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"jobId":"a","consumerId":"c","accountId":"1"}\n')
    ended = overture("submit", str(file), settings={})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / ".overture").is_dir()
    ended = overture("status", "--format", "json", settings={})
    depths = {queue["name"]: queue["ready"] for queue in json.loads(ended.stdout)["queues"]}
    assert depths[JOBS_QUEUE] == 1


def test_the_timeout_is_for_the_wait_alone(settings: dict[str, object], broker_url: str) -> None:
    """However long it took to read and send the jobs."""
    lines = [json.dumps(job_document(number)) for number in range(501)]
    with (
        broker_at(broker_url).connection() as connection,
        start_overture("submit", "-", "--wait", "--timeout", "1.5", settings=settings) as process,
    ):
        assert process.stdin is not None
        process.stdin.write("\n".join(lines[:500]).encode() + b"\n")
        process.stdin.flush()
        wait_until(
            lambda: broker_at(broker_url).ready(connection, JOBS_QUEUE) == 500,
            "the first batch is there",
        )
        sent = time.monotonic()
        wait_until(lambda: time.monotonic() > sent + 1.5, "the timeout would be over")
        output, errors = process.communicate(lines[500].encode(), timeout=30)
        ended = time.monotonic()
    assert output.decode().splitlines()[-1] == "waiting 501"
    assert errors.decode().splitlines() == [
        "overture: no worker is running; start one with: overture worker",
        "overture: no outcome yet for 501 jobs; the workers continue",
    ]
    assert ended - sent > 3


@pytest.mark.parametrize("when", ["while it is sent", "at the end"])
def test_a_full_disk_is_not_the_brokers_fault(
    settings: dict[str, object], tmp_path: Path, when: str
) -> None:
    """What is kept for --wait, and what is rejected, are files on this machine."""
    count, most = (5000, 64) if when == "while it is sent" else (100, 1)
    file = write_jobs(tmp_path / "jobs.jsonl", count)
    ended = overture_with_small_files(most, "submit", str(file), "--wait", settings=settings)
    assert ended.returncode == 1
    assert (
        f"overture: the submitted jobs cannot be kept in {tempfile.gettempdir()}: File too large; "
        "set TMPDIR to another folder, or leave --wait out\n"
    ) in ended.stderr
    assert "broker" not in ended.stderr


def test_rejected_lines_that_cannot_be_kept_are_said_to_be(
    settings: dict[str, object], tmp_path: Path
) -> None:
    """However few they are; the good ones go all the same."""
    file = write_jobs(tmp_path / "jobs.jsonl", 3, extra=BAD)
    ended = overture("submit", str(file), "--rejected", "/dev/full", settings=settings)
    said, _ = told(ended.stdout)
    assert (ended.returncode, said) == (1, ["submitted 3 jobs to conversations.jobs"])
    first, *others = ended.stderr.splitlines()
    assert first.startswith("overture: /dev/full cannot be written: No space left on device; ")
    assert "--rejected" in first
    assert others == [
        "overture: line 2: the line is not JSON: Expecting value at column 1",
        "overture: line 3: profil: is not a known field; did you mean profile?",
        "overture: 2 lines rejected",
    ]


def overture_with_small_files(
    kilobytes: int, *arguments: str, settings: dict[str, object]
) -> subprocess.CompletedProcess[str]:
    """Run a command that can write no larger file than this."""
    shell = f'ulimit -f {kilobytes}; exec "$0" -m console "$@"'
    return subprocess.run(
        ["bash", "-c", shell, sys.executable, *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )


def test_waiting_ends_with_the_outcomes(
    settings: dict[str, object], broker_url: str, tmp_path: Path
) -> None:
    """--wait counts what became of every job, and fails if one of them did."""
    with BrokerClient(broker_url), SimulatorProcess() as simulator:
        both = {**settings, "domain_api_url": simulator.url, "max_rate": 1000}
        with WorkerProcess(both):
            file = write_jobs(tmp_path / "jobs.jsonl", 20)
            ended = overture("submit", str(file), "--wait", "--timeout", "30", settings=both)
            assert (ended.returncode, ended.stderr) == (0, "")
            assert ended.stdout.splitlines()[-1] == "created 20"
            new = [job_document(1, jobId="other"), job_document(2, consumerId="another")]
            with file.open("a") as more:
                more.writelines(json.dumps(job) + "\n" for job in new)
            ended = overture("submit", str(file), "--wait", "--timeout", "30", settings=both)
            assert ended.returncode == 1
            counts = "already done 20, failed as already_open 1, failed as conflict 1"
            assert ended.stdout.splitlines()[-1] == counts
