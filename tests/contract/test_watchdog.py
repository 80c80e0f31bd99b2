"""The watchdog beside a real broker."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from config.queues import JOBS_QUEUE
from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.waiting import wait_until
from worker.watchdog import Watchdog, waiting_messages


class Consumer:
    """A consumer whose loop turns, or not, and which takes nothing."""

    def __init__(self, *, turns: bool) -> None:
        self._turns = turns
        self._start = time.monotonic()
        self.received_at = self._start
        self.jobs = 0

    @property
    def turned_at(self) -> float:
        return time.monotonic() if self._turns else self._start

    def in_hand(self) -> int:
        return self.jobs


class Watch:
    """A quick watchdog that notes its verdict instead of ending the process."""

    def __init__(self, url: str, consumer: Consumer, health_file: Path | None = None) -> None:
        self.ended = threading.Event()
        self.draining = threading.Event()
        self.dog = Watchdog(
            consumer,  # type: ignore[arg-type] # turned_at is only read
            broker_url=url,
            queues=[JOBS_QUEUE],
            slots=4,
            health_file=health_file,
            draining=self.draining,
            look_seconds=0.05,
            stall_seconds=0.5,
            end=lambda status: self.ended.set() if status == 1 else None,
        )
        self.dog.start()


def test_messages_that_nobody_takes_end_the_worker(broker_url: str) -> None:
    """Slots are free, jobs wait, and none comes: the process is ended, with a reason."""
    with BrokerClient(broker_url) as client:
        client.put([job_document(1)])
        wait_until(lambda: waiting_messages(broker_url, [JOBS_QUEUE]) == 1, "the job waits")
        assert Watch(broker_url, Consumer(turns=True)).ended.wait(10)


def test_a_loop_that_does_not_turn_ends_the_worker(broker_url: str) -> None:
    """Even with nothing to do: it would not notice when there is."""
    with BrokerClient(broker_url):
        assert Watch(broker_url, Consumer(turns=False)).ended.wait(10)


def test_an_idle_worker_is_healthy(broker_url: str, tmp_path: Path) -> None:
    """With nothing to take it goes on, and its health file stays fresh."""
    health = tmp_path / "health"
    with BrokerClient(broker_url):
        watch = Watch(broker_url, Consumer(turns=True), health)
        wait_until(health.exists, "the health file is there")
        first = health.stat().st_mtime_ns
        wait_until(lambda: health.stat().st_mtime_ns > first, "it is touched again")
        assert not watch.ended.wait(1)
        watch.draining.set()


def test_a_worker_that_drains_is_healthy(broker_url: str, tmp_path: Path) -> None:
    """Its last jobs may take longer than a probe has patience; once they are done it has to end."""
    health, consumer = tmp_path / "health", Consumer(turns=True)
    consumer.jobs = 1
    with BrokerClient(broker_url):
        watch = Watch(broker_url, consumer, health)
        wait_until(health.exists, "the health file is there")
        watch.draining.set()
        for _ in range(3):
            last = health.stat().st_mtime_ns
            wait_until(lambda: health.stat().st_mtime_ns > last, "it is touched again")  # noqa: B023 - called at once
        consumer.jobs = 0
        wait_until(lambda: not watch.dog._thread.is_alive(), "nobody touches it any more")


def test_a_broker_that_is_away_is_no_stall() -> None:
    """Whoever cannot be reached has nothing to hand out."""
    assert waiting_messages("amqp://127.0.0.1:1//", [JOBS_QUEUE]) is None
    assert waiting_messages("redis://127.0.0.1:1/0", [JOBS_QUEUE]) is None
