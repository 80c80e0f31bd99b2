"""`overture workers`: who works where, in every form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tasks.store.pulse import Pulse
from tests.memory_servers import MemoryServers, memory_servers
from tests.waiting import wait_until

ABOUT: Final[dict[str, Any]] = {
    "host": "one.example",
    "pid": 4711,
    "version": "0.1.0",
    "uptimeSeconds": 93_784,
    "queues": ["conversations.jobs", "conversations.jobs.12345678"],
    "threads": 50,
    "inHand": 7,
    "draining": True,
}


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MemoryServers, Pulse]]:
    """Give a pool of one worker, which an alarm keeps."""
    with memory_servers(monkeypatch) as found:
        pulse = Pulse(found.store, trouble=lambda: "memory alarm")
        pulse.start(lambda: ABOUT)
        wait_until(pulse.is_shown, "it shows itself")
        yield found, pulse
        pulse.stop(seconds=5)


def test_each_worker_says_what_it_is(servers: tuple[MemoryServers, Pulse], tmp_path: Path) -> None:
    """For programs, for people, and in a file."""
    found, pulse = servers
    said = {"worker": pulse.worker, **ABOUT, "heldUpBy": "memory alarm"}
    result = found.run("workers", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [said])
    file = tmp_path / "workers.jsonl"
    found.run("workers", "--format", "jsonl", "--output", str(file))
    assert json.loads(file.read_text()) == said
    header, line = found.run("workers").stdout.splitlines()
    assert header.split()[:5] == ["WORKER", "HOST", "PID", "VERSION", "UPTIME"]
    assert "1 day, 2:03:04" in line
    assert line.endswith("memory alarm")


def test_nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list is one."""
    with memory_servers(monkeypatch) as found:
        assert json.loads(found.run("workers", "--format", "json").stdout) == []
