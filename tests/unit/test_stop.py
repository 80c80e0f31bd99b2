"""How a worker ends: which signal asks for what."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import signals
from celery.worker import state

from tasks.stopping import Shutdown
from tests.waiting import wait_until
from worker.consumer import JobConsumer
from worker.stop import Stop

DRAIN_SECONDS = 30.0


class Consumer:
    """Has a message in hand until it is told otherwise."""

    def __init__(self) -> None:
        self.left = 1
        self.takes = True

    def in_hand(self) -> int:
        return self.left

    def stop_taking(self) -> None:
        self.takes = False


class Ending:
    """A worker that is being ended; `exits` are the statuses of an end that waits for nothing."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.shutdown = Shutdown()
        self.closed = threading.Event()
        self.exits: list[int] = []
        parts: Any = SimpleNamespace(shutdown=self.shutdown, close=lambda **_: self.closed.set())
        worker = SimpleNamespace(hostname="worker@here", consumer=self.consumer)
        self._stop = Stop(worker, parts, drain_seconds=DRAIN_SECONDS)

    def ask(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self._stop._on_signal(number, None)


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ending]:
    """Give a worker that can be ended."""
    one = Ending()
    monkeypatch.setattr(state, "should_stop", None)
    monkeypatch.setattr(os, "_exit", one.exits.append)
    yield one
    one.consumer.left = 0
    wait_until(lambda: state.should_stop == 0, "its thread has ended")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_drains(ending: Ending, number: signal.Signals) -> None:
    """What is in hand is waited for, and Celery's loop then ends with 0."""
    ending.ask(number)
    wait_until(lambda: not ending.consumer.takes, "nothing new is taken")
    assert ending.shutdown.draining.is_set()
    assert state.should_stop is None
    ending.consumer.left = 0
    wait_until(lambda: state.should_stop == 0, "the loop may end")
    assert ending.exits == []


@pytest.mark.parametrize(
    "numbers",
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM), (signal.SIGQUIT,)],
)
def test_what_is_asked_for_twice_or_by_sigquit_waits_for_nothing(
    ending: Ending, numbers: tuple[signal.Signals, ...]
) -> None:
    """What is in hand is delivered again elsewhere; outcomes that wait go out."""
    ending.ask(*numbers)
    wait_until(lambda: ending.exits == [0], "it ends at once", seconds=DRAIN_SECONDS / 3)
    assert ending.closed.is_set()


def test_a_terminal_that_is_closed_says_so_more_than_once(ending: Ending) -> None:
    """That asks for no more than the first signal did."""
    ending.ask(signal.SIGTERM, signal.SIGHUP, signal.SIGHUP)
    wait_until(lambda: not ending.consumer.takes, "nothing new is taken")
    assert (ending.exits, state.should_stop) == ([], None)


def test_whoever_listens_to_celery_hears_of_it(ending: Ending) -> None:
    """By the name of the signal."""
    heard: list[tuple[object, str, str, int]] = []

    def listen(sender: object, sig: str, how: str, exitcode: int, **_: object) -> None:
        heard.append((sender, sig, how, exitcode))

    signals.worker_shutting_down.connect(listen)
    ending.ask(signal.SIGTERM)
    wait_until(lambda: heard, "it is told")
    assert heard == [("worker@here", "SIGTERM", "Warm", 0)]


def test_a_signal_before_the_first_connection_finds_nothing_to_cancel() -> None:
    """The worker ends in good order, without a traceback."""
    consumer = JobConsumer.__new__(JobConsumer)
    consumer.hub = SimpleNamespace(call_soon=lambda call: call())
    consumer.task_consumer = None
    consumer._untouched = []
    consumer.stop_taking()
