"""`overture demo`: the whole of it on one machine, and it adds up."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from pathlib import Path

import pytest

from tests.overture_command import overture, start_overture
from tests.waiting import wait_until


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have temporary files made where they can be seen."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_demo_adds_up_and_leaves_nothing_behind(folder: Path) -> None:
    """Whatever the user's own settings are, even wrong ones."""
    (folder / "overture.toml").write_text("max_rate = 0")
    own = {"broker_url": "redis://127.0.0.1:1", "accounts__7__client_id": "x", "max_rate": "junk"}
    ended = overture("demo", "--jobs", "300", settings=own)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1].startswith("the numbers agree")
    assert "\x1b" not in ended.stdout
    assert [path.name for path in folder.iterdir()] == ["overture.toml"]


def test_the_demo_can_be_stopped(folder: Path) -> None:
    """Ctrl-C ends all that was started, and takes the folder away."""
    with start_overture("demo", settings={}) as process:
        wait_until(lambda: list(folder.glob("overture-demo-*/worker-1.log")), "the workers start")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors.strip()) == (130, b"")
    assert list(folder.iterdir()) == []
    wait_until(lambda: processes_in(folder) == [], "the last of them has ended")


def processes_in(folder: Path) -> list[Path]:
    """List the processes that work below a folder, where the system tells (Linux)."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if str(link.readlink()).startswith(f"{folder}/"):
                found.append(link)
    return found
