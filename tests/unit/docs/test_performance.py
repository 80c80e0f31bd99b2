"""The figures in docs/performance.md are those of the run that is kept beside it."""

from __future__ import annotations

import json

from benchmarks.tables import tables
from tests.documents import read


def test_every_table_is_that_of_the_run() -> None:
    """A new run is written into the page: `python -m benchmarks.tables docs/performance.json`."""
    found = json.loads(read("docs/performance.json"))["found"]
    page = read("docs/performance.md")
    made = list(tables(found))
    assert made
    assert [table.splitlines()[0] for table in made if table not in page] == []
