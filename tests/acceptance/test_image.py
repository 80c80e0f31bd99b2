"""The image's build, followed instruction by instruction into a folder, and what comes of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from config.version import VERSION
from tests import dockerfile
from tests.documents import read
from tests.redis_server import free_port
from tests.waiting import wait_until


@pytest.mark.timeout(300)
def test_what_is_built_is_the_whole_of_overture(tmp_path: Path) -> None:
    """From locked wheels alone: the command answers, its worker opens conversations and is well."""
    environment = dockerfile.build(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    container = _Container({**environment, "OVERTURE_DATA_DIR": str(data)}, folder=data)
    assert container.run("--version").stdout == f"overture {VERSION}\n"
    assert "no account is configured" in container.run("worker", status=1).stderr

    port = free_port()
    lines = [line for line in read("docker/simulator.env").splitlines() if not line.startswith("#")]
    account = dict(line.split("=", 1) for line in lines if "_URL=" not in line)
    container.environment |= account | {
        "OVERTURE_TRUSTED_HOSTS": "127.0.0.1",
        "OVERTURE_DOMAIN_API_URL": f"http://127.0.0.1:{port}",
        "OVERTURE_HEALTH_FILE": str(data / "worker-progress"),
    }
    simulator = container.start("simulate", "--port", str(port))
    worker = container.start(*dockerfile.command_line("CMD"))
    try:
        jobs = tmp_path / "jobs.jsonl"
        jobs.write_text(read("examples/jobs.jsonl"))
        done = container.run("submit", str(jobs), "--wait", "--timeout", "60")
        assert "created 5" in done.stdout
        wait_until(container.is_well, "the health check passes", seconds=30)
        worker.terminate()
        assert worker.wait(45) == 0
    finally:
        for process in (worker, simulator):
            process.kill()
            process.wait()


class _Container:
    """Runs the image's commands, with its variables and no others."""

    def __init__(self, environment: dict[str, str], *, folder: Path) -> None:
        self.environment = environment
        self._folder = folder

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the entrypoint."""
        return subprocess.Popen(
            [*dockerfile.command_line("ENTRYPOINT"), *arguments],
            env=self.environment,
            cwd=self._folder,
            executable=self._found(),
        )

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the entrypoint to its end."""
        done = subprocess.run(
            [*dockerfile.command_line("ENTRYPOINT"), *arguments],
            env=self.environment,
            cwd=self._folder,
            executable=self._found(),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    def is_well(self) -> bool:
        """Run the health check."""
        command = dockerfile.command_line("HEALTHCHECK")
        return subprocess.run(command, env=self.environment, check=False).returncode == 0

    def _found(self) -> str:
        return f"{self.environment['PATH'].split(os.pathsep)[0]}/overture"
