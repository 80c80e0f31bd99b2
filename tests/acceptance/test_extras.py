"""Without the extras, Overture imports, says what is missing, and opens conversations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from console.group import COMMANDS
from tests.documents import ROOT
from tests.extras import without_extras
from tests.jobs import ONE_ACCOUNT
from tests.redis_server import VALKEY
from tests.simulator_process import SimulatorProcess
from tests.worker_process import END_SECONDS, environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Give the variables of a process that has the core's packages alone, and a Valkey on its PATH.

    The simulator is a process of its own, as LivePerson is.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "valkey-server").symlink_to(VALKEY)
    core = without_extras(tmp_path / "core")
    return {
        **environment(ONE_ACCOUNT),
        "PYTHONPATH": f"{core}{os.pathsep}{ROOT}",
        "PATH": f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin",
    }


@pytest.fixture
def run(variables: dict[str, str]) -> Run:
    """Give a command of that process, run to its end."""

    def to_its_end(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == status, done.stderr
        return done

    return to_its_end


def test_every_command_can_be_imported(run: Run) -> None:
    """So each one's `--help` answers, and what it lacks is said when it is run."""
    names = [f"console.commands.{name.replace('-', '_')}" for name in COMMANDS]
    run("-c", f"import importlib\nfor name in {names!r}: importlib.import_module(name)")
    assert "Usage: overture" in run("-m", "console", "--help").stdout


@pytest.mark.parametrize("command", ["demo", "simulate"])
def test_what_needs_an_extra_says_which(run: Run, command: str) -> None:
    """In one sentence, with what to do."""
    said = run("-m", "console", command, status=1).stderr
    assert said.startswith("overture: this needs the extra 'demo'")
    assert "aiohttp, jwt" in said
    assert said.count("\n") == 1


def test_a_worker_opens_conversations(run: Run, variables: dict[str, str], tmp_path: Path) -> None:
    """On a server of the PATH; `check` passes, and a signal drains it."""
    with SimulatorProcess() as simulator:
        variables["OVERTURE_DOMAIN_API_URL"] = simulator.url
        assert "✗" not in run("-m", "console", "check").stdout
        (tmp_path / "jobs.jsonl").write_text(json.dumps({"jobId": "j-1", "consumerId": "c-1"}))
        worker = subprocess.Popen([sys.executable, "-m", "console", "worker"], env=variables)
        try:
            done = run("-m", "console", "submit", "jobs.jsonl", "--wait", "--timeout", "30")
            assert "created 1" in done.stdout
            worker.terminate()
            assert worker.wait(END_SECONDS) == 0
        finally:
            worker.kill()
            worker.wait()
