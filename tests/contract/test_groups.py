"""Tests of one group run in one process, and share what takes seconds to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import os
from pathlib import Path
import pytest

@pytest.mark.xdist_group("server")
@pytest.mark.parametrize("number", range(8))
def test_it(number):
    Path(__file__).with_name(f"{os.environ['PYTEST_XDIST_WORKER']}.ran").touch()
"""


def test_tests_of_a_group_run_in_one_process(tmp_path: Path) -> None:
    """A pytest that pytest-xdist does not know would ignore the groups, and say nothing."""
    (tmp_path / "test_group.py").write_text(TESTS)
    options = ["-p", "no:cacheprovider", "--numprocesses", "2", "--dist", "loadgroup"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_group.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert len(list(tmp_path.glob("*.ran"))) == 1
