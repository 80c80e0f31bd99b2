"""A worker whose log goes nowhere does its work, and ends, as any other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.simulator_process import SimulatorProcess
from tests.worker_process import environment

# The broker has no part in it.
pytestmark = pytest.mark.parametrize("broker_url", ["valkey"], indirect=True)

DRAIN_SECONDS = 30
JOBS = 20


@contextmanager
def full_disk() -> Iterator[int]:
    """Give a file on a disk that is full."""
    end = os.open("/dev/full", os.O_WRONLY)
    yield end
    os.close(end)


@contextmanager
def reader_gone() -> Iterator[int]:
    """Give a pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def never_read() -> Iterator[int]:
    """Give a pipe that is full, and that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while os.write(writing, b"x" * 4096):
            pass
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@contextmanager
def not_to_be_written() -> Iterator[int]:
    """Give a file that was opened for reading: nothing can be written to it."""
    end = os.open(os.devnull, os.O_RDONLY)
    yield end
    os.close(end)


@pytest.mark.parametrize("sink", [full_disk, reader_gone, never_read, not_to_be_written])
def test_a_log_that_cannot_be_written_changes_nothing_else(
    settings: dict[str, object],
    client: BrokerClient,
    simulator: SimulatorProcess,
    sink: Callable[[], AbstractContextManager[int]],
) -> None:
    """Each job has its result, SIGTERM drains and the worker ends with 0."""
    configured = {
        **settings,
        "domain_api_url": simulator.url,
        "max_rate": 1000,
        "drain_timeout": DRAIN_SECONDS,
        "log_level": "debug",
    }
    with sink() as end:
        worker = subprocess.Popen(
            [sys.executable, "-m", "console", "worker", "--concurrency", "4"],
            env=environment(configured),
            stdin=subprocess.DEVNULL,
            stdout=end,
            stderr=end,
        )
        try:
            client.put([job_document(number) for number in range(JOBS)])
            out = client.wait_for(JOBS)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(DRAIN_SECONDS) == 0
        finally:
            worker.kill()
            worker.wait()
    assert (len(out.by_job()), out.dead_letters) == (JOBS, [])
    assert len(simulator.conversations()) == JOBS


@pytest.mark.parametrize("sink", [full_disk, reader_gone, not_to_be_written])
def test_a_command_that_cannot_speak_does_what_it_is_told(
    settings: dict[str, object],
    client: BrokerClient,
    tmp_path: Path,
    sink: Callable[[], AbstractContextManager[int]],
) -> None:
    """Its exit status says how it went: the good lines are enqueued, the bad one is not."""
    lines = [job_document(1), {**job_document(2), "unknown": 1}, job_document(3)]
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text("\n".join(map(json.dumps, lines)))
    for arguments, status in ((["submit", str(jobs)], 1), (["submit"], 2)):
        with sink() as end:
            process = subprocess.run(
                [sys.executable, "-m", "console", *arguments],
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=end,
                timeout=30,
                check=False,
            )
        assert process.returncode == status
    assert client.waiting() == 2
