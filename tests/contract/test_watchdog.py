"""The watchdog beside a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.names import JOBS_QUEUE
from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.waiting import wait_until
from worker.broker.brokers import broker_at
from worker.watchdog import Watchdog, takes_writes, waiting_messages


class Consumer:
    """A consumer whose loop turns, or not, and which takes nothing."""

    def __init__(self, *, turns: bool) -> None:
        self._turns = turns
        self._start = time.monotonic()
        self.received_at = self._start
        self.jobs = 0
        self.left_at = self._start

    @property
    def turned_at(self) -> float:
        return time.monotonic() if self._turns else self._start

    def in_hand(self) -> int:
        return self.jobs

    def ended_at(self) -> float:
        return self.left_at


class Outgoing:
    """A publisher with messages that the broker does not confirm, or with none."""

    def __init__(self, waiting: int = 0, trouble: str = "") -> None:
        self.waiting, self.trouble = waiting, trouble
        self.confirmed_at = time.monotonic()


class Watch:
    """A quick watchdog that notes its verdict instead of ending the process."""

    def __init__(
        self,
        url: str,
        consumer: Consumer,
        health_file: Path | None = None,
        *,
        store_url: str = "redis://127.0.0.1:1/0",
        publisher: Outgoing | None = None,
        answered_at: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.ended = threading.Event()
        self.draining = threading.Event()
        self.dog = Watchdog(
            consumer,  # type: ignore[arg-type] # turned_at is only read
            publisher=publisher or Outgoing(),
            answered_at=answered_at,
            answer_seconds=0,
            broker=broker_at(url),
            store_url=store_url,
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
        wait_until(
            lambda: waiting_messages(broker_at(broker_url), [JOBS_QUEUE]) == 1, "the job waits"
        )
        assert Watch(broker_url, Consumer(turns=True)).ended.wait(10)


def test_a_loop_that_does_not_turn_ends_the_worker(broker_url: str) -> None:
    """Even with nothing to do: it would not notice when there is."""
    with BrokerClient(broker_url):
        assert Watch(broker_url, Consumer(turns=False)).ended.wait(10)


def test_jobs_of_which_nothing_comes_end_the_worker(broker_url: str, valkey_url: str) -> None:
    """Threads that wait for each other, or for an answer that never comes."""
    consumer = Consumer(turns=True)
    consumer.jobs = 3
    with BrokerClient(broker_url):
        assert Watch(broker_url, consumer, store_url=valkey_url).ended.wait(10)


def test_jobs_that_wait_for_somebody_else_do_not(broker_url: str, valkey_url: str) -> None:
    """For their permits, of which they are told, for LivePerson, or for a store that is away."""
    consumer = Consumer(turns=True)
    consumer.jobs = 3
    with BrokerClient(broker_url):
        told = Watch(broker_url, consumer, store_url=valkey_url, answered_at=time.monotonic)
        away = Watch(broker_url, consumer)
        assert not told.ended.wait(2)
        assert not away.ended.wait(0)
        told.draining.set()
        away.draining.set()
        consumer.jobs = 0


def test_a_publisher_that_stands_still_ends_the_worker(broker_url: str) -> None:
    """The broker answers, outcomes are to go out, and nothing keeps them but itself."""
    with BrokerClient(broker_url):
        watch = Watch(broker_url, Consumer(turns=True), publisher=Outgoing(waiting=4))
        assert watch.ended.wait(10)


@pytest.mark.parametrize(
    ("trouble", "state"), [("memory alarm", "held"), ("the queue is full", "refused")]
)
def test_a_broker_that_takes_nothing_does_not(
    broker_url: str, tmp_path: Path, trouble: str, state: str
) -> None:
    """A new process would change nothing; the probe hears of it, unless it is an alarm."""
    health, publisher = tmp_path / "health", Outgoing(waiting=4, trouble=trouble)
    with BrokerClient(broker_url):
        watch = Watch(broker_url, Consumer(turns=True), health, publisher=publisher)
        wait_until(lambda: watch.dog.verdict.state == state, "it is noticed")
        last = health.stat().st_mtime_ns
        is_touched = watch.ended.wait(1) or health.stat().st_mtime_ns > last
        assert is_touched == (state == "held")
        publisher.waiting = 0
        wait_until(lambda: watch.dog.verdict.state == "fine", "it is over")
        watch.draining.set()


def test_a_watchdog_that_stumbles_goes_on(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a worker that stands still would stand for ever."""
    broken = Consumer(turns=False)
    monkeypatch.setattr(broken, "in_hand", lambda: 1 / 0)
    with BrokerClient(valkey_url):
        watch = Watch(valkey_url, broken)
        assert not watch.ended.wait(1)
        monkeypatch.undo()
        assert watch.ended.wait(10)


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
    assert waiting_messages(broker_at("amqp://127.0.0.1:1//"), [JOBS_QUEUE]) is None
    assert waiting_messages(broker_at("redis://127.0.0.1:1/0"), [JOBS_QUEUE]) is None
    assert not takes_writes("redis://127.0.0.1:1/0")
