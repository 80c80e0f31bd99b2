"""docs/deploy.md: what it gives to other programs is what these take."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from config.settings import Settings
from tests.documents import blocks, read
from worker.stop import CLOSE_SECONDS

UNIT: Final = next(
    block.text for block in blocks(read("docs/deploy.md")) if block.text.startswith("[Unit]")
)


def test_a_worker_under_systemd_has_the_time_to_drain() -> None:
    """Killed earlier it would leave requests of unknown fate."""
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(seconds) > Settings.model_fields["drain_timeout"].default + CLOSE_SECONDS


@pytest.mark.slow
def test_systemd_knows_every_word_of_the_unit(tmp_path: Path) -> None:
    """Its own check has nothing to say."""
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("CI"):
            pytest.fail("systemd is not installed here, and a build must not leave this test out")
        pytest.skip("systemd is not installed here")
    unit = tmp_path / "overture@.service"
    unit.write_text(UNIT.replace("/opt/overture/.venv/bin/overture", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
