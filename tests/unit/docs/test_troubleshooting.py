"""docs/troubleshooting.md knows whatever a job may wait for."""

from __future__ import annotations

from console.tables import AWAITED
from tests.documents import read, rows, section


def test_whatever_a_job_waits_for_is_explained() -> None:
    """In the words of `overture status JOB`."""
    table = rows(section(read("docs/troubleshooting.md"), "Why is job X not done?"))
    assert [row[0] for row in table] == list(AWAITED.values())
    assert all(row[1] and row[2] for row in table)


def test_its_first_entry_is_the_most_common_error() -> None:
    """A producer that declares the queue its own way."""
    text = read("docs/troubleshooting.md")
    first, _, _ = text.partition("\n## ")[2].partition("\n")
    assert "406" in first
