"""A worker whose calls hang, whose store is gone, or that is lost again and again."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.overture_command import start_overture
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess, environment

# The broker has no part in it.
pytestmark = pytest.mark.parametrize("broker_url", ["valkey"], indirect=True)


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Put the account's limits out of the way, and make pauses short."""
    return {
        **settings,
        "domain_api_url": simulator.url,
        "max_rate": 1000,
        "retry_schedule": "0.2,0.4,0.6",
    }


@pytest.mark.parametrize("signals", [1, 2])
def test_a_drain_ends_in_time_and_hands_back_what_hangs(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess, signals: int
) -> None:
    """A call that does not end keeps nobody: at the deadline, or at once after a second signal."""
    for number in range(5):
        fault = {"consumer": f"consumer-{number}", "fault": "withheld_answer"}
        simulator.control("faults", fault)
    drain = 2 if signals == 1 else 60
    with WorkerProcess({**settings, "drain_timeout": drain}) as worker:
        client.put([job_document(number) for number in range(5)])
        wait_until(lambda: len(simulator.conversations()) == 5, "answers are withheld")
        started = time.monotonic()
        worker.signal(signal.SIGTERM)
        wait_until(lambda: worker.events("worker.draining"), "the drain begins")
        for _ in range(signals - 1):
            worker.signal(signal.SIGTERM)
        assert worker.process.wait(15) == 0
        assert time.monotonic() - started < 12
        assert worker.events("worker.drained")[0]["handed_back"] == 5
    with WorkerProcess(settings):
        out = client.wait_for(5, seconds=40)
    assert out.dead_letters == []
    assert {result["resolvedBy"] for result in out.results} == {"monitoring"}
    assert len(simulator.conversations()) == 5


def test_a_terminal_that_is_closed_drains_its_worker(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """It says so by SIGHUP, several times, and its log is gone: what was sent is finished."""
    simulator.control("limits", {"latency": 1500})
    ours, theirs = pty.openpty()
    worker = subprocess.Popen(
        [sys.executable, "-m", "console", "worker"],
        env=environment(settings),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the tests have one thread
    )
    os.close(theirs)
    try:
        client.put([job_document(number) for number in range(5)])
        wait_until(lambda: simulator.stats()["total"]["inFlight"] == 5, "they are sent", seconds=30)
        os.close(ours)
        worker.send_signal(signal.SIGHUP)
        assert worker.wait(15) == 0
    finally:
        worker.kill()
        worker.wait()
    out = client.take()
    assert (len(out.results), out.dead_letters) == (5, [])


def test_a_worker_that_is_to_outlive_its_terminal_does(settings: dict[str, object]) -> None:
    """Under nohup SIGHUP ends nobody."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with WorkerProcess(settings) as worker:
            worker.signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                worker.process.wait(1)
            assert worker.events("worker.draining") == []
            assert worker.stop() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_sigterm_ends_a_worker_that_has_not_begun(settings: dict[str, object]) -> None:
    """Whoever waits for a silent broker has nothing in hand."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        worker = start_overture(
            "worker", settings={**settings, "broker_url": f"amqp://127.0.0.1:{port}"}
        )
        with worker, silent.accept()[0]:
            worker.terminate()
            _, said = worker.communicate(timeout=10)
    assert (worker.returncode, said) == (0, b"")


def test_without_the_store_nothing_is_sent(
    settings: dict[str, object],
    client: BrokerClient,
    simulator: SimulatorProcess,
    tmp_path: Path,
) -> None:
    """Fail closed: jobs wait while the store is away, and go on by themselves when it is back."""
    store = RedisServer(tmp_path).start()
    with WorkerProcess({**settings, "store_url": store.url}) as worker:
        client.put([job_document(1)])
        client.wait_for(1)
        store.kill()
        client.put([job_document(number) for number in range(2, 12)])
        wait_until(lambda: worker.events("store.away"), "the worker notices")
        assert simulator.stats()["total"]["calls"]["conversation"] == {"200": 1}
        store.start()
        out = client.wait_for(11)
        assert (len(out.by_job()), out.dead_letters) == (11, [])
        assert worker.stop() == 0
    store.stop()


def test_a_job_that_kills_its_workers_is_given_up(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Poison is not sent again: with nothing of it open, it goes to the dead letters."""
    simulator.control("limits", {"latency": 2000})
    hard = {**settings, "max_deliveries": 1}
    client.put([job_document(1)])
    for _ in range(2):
        with WorkerProcess(hard) as worker:
            wait_until(
                lambda: simulator.stats()["total"]["inFlight"] >= 1, "it is sent", seconds=40
            )
            worker.kill()
        wait_until(lambda: simulator.stats()["total"]["inFlight"] == 0, "the call has ended")
    simulator.control("limits", {"latency": 0})
    simulator.control("close", {})
    with WorkerProcess(hard):
        client.wait_until(lambda out: out.dead_letters, "a dead letter", seconds=40)
    assert client.out.codes() == {"job-1": "internal_error"}
    attempts = client.out.dead_letters[0]["error"]["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["unknown", "unknown"]
    assert sum(simulator.stats()["total"]["calls"]["conversation"].values()) == 2
