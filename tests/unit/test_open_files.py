"""How many slots a number of open files is enough for."""

from __future__ import annotations

import resource

import pytest

from worker.tuning import slots_for


@pytest.mark.parametrize(
    ("allowed", "wanted", "possible"),
    [
        (1024, 50, 50),
        (resource.RLIM_INFINITY, 1000, 1000),
        (240, 50, 50),
        (239, 50, 49),
        (80, 50, 10),
        (20, 50, 1),
    ],
)
def test_a_worker_takes_no_more_slots_than_it_has_files_for(
    allowed: int, wanted: int, possible: int
) -> None:
    """Four for each, beside those that any worker has; one slot it has at least."""
    assert slots_for(allowed, wanted) == possible
