"""What the probes of a worker are told, and the file that `overture health` looks at."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result

from console import main
from worker.health import LATELY_SECONDS, Health
from worker.progress import STALL_SECONDS, Verdict
from worker.serving import Page

FINE: Final = Verdict("fine")


@dataclass
class Watchdog:
    """A watchdog that has just looked."""

    verdict: Verdict = FINE
    looked_at: float = field(default_factory=time.monotonic)
    broker_seen_at: float = field(default_factory=time.monotonic)
    store_seen_at: float = field(default_factory=time.monotonic)


@dataclass
class Consumer:
    """A consumer that takes messages, or does not."""

    is_consuming: bool = True


def health(watchdog: Watchdog, *, consuming: bool = True, draining: bool = False) -> Health:
    """Make the health of a worker."""
    event = threading.Event()
    if draining:
        event.set()
    return Health(watchdog, Consumer(consuming), event)


def said(page: Page) -> tuple[int, str]:
    """Read a page."""
    return int(page.status), page.body.decode().strip()


@pytest.mark.parametrize(
    ("verdict", "draining", "status", "words"),
    [
        (Verdict("fine"), False, 200, "fine"),
        (Verdict("fine"), True, 200, "draining"),
        (Verdict("held", "4 messages: memory alarm"), False, 200, "held: 4 messages: memory alarm"),
        (Verdict("refused", "the queue is full"), False, 503, "refused: the queue is full"),
        (Verdict("stalled", "its event loop"), False, 503, "stalled: its event loop"),
    ],
)
def test_a_worker_lives_while_it_makes_progress(
    verdict: Verdict, *, draining: bool, status: int, words: str
) -> None:
    """By the watchdog's own judgement, as for the health file."""
    probe = health(Watchdog(verdict), draining=draining)
    assert said(probe.live()) == (status, words)


def test_a_watchdog_that_does_not_look_says_nothing() -> None:
    """What it said last is no news after a minute."""
    page = health(Watchdog(looked_at=time.monotonic() - STALL_SECONDS - 1)).live()
    assert said(page)[0] == 503
    assert "watchdog has not looked" in said(page)[1]


def test_a_worker_is_ready_while_it_takes_messages_and_has_its_servers() -> None:
    """What it lacks is named."""
    long_ago = time.monotonic() - LATELY_SECONDS - 1
    assert said(health(Watchdog()).ready()) == (200, "ready")
    for probe, words in (
        (health(Watchdog(), draining=True), "draining"),
        (health(Watchdog(), consuming=False), "no connection to the broker"),
        (health(Watchdog(broker_seen_at=long_ago)), "the broker has not answered for 21 s"),
        (health(Watchdog(store_seen_at=long_ago)), "the store has not answered for 21 s"),
    ):
        status, found = said(probe.ready())
        assert status == 503
        assert words in found


def run(**variables: str) -> Result:
    """Call `overture health`."""
    return CliRunner().invoke(main, ["health"], env=variables)


def test_the_command_looks_at_the_file(tmp_path: Path) -> None:
    """Young enough is 0, too old is 1; one sentence either way."""
    path = tmp_path / "progress"
    path.touch()
    result = run(OVERTURE_HEALTH_FILE=str(path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "the worker made progress 0 s ago\n"
    old = time.time() - STALL_SECONDS - 2
    os.utime(path, (old, old))
    result = run(OVERTURE_HEALTH_FILE=str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no progress for 62 s" in result.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "OVERTURE_HEALTH_FILE is not set"),
        ({"OVERTURE_HEALTH_FILE": "no/such/file"}, "No such file"),
        ({"OVERTURE_MAX_RATE": "fast"}, "OVERTURE_MAX_RATE"),
    ],
)
def test_without_a_file_there_is_no_progress(variables: dict[str, str], words: str) -> None:
    """What is missing is said."""
    result = run(**variables)
    assert result.exit_code == 1
    assert words in result.stderr
