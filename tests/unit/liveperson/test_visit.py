"""A visit of the Monitoring API, on its way through the ledger."""

import pytest

from tasks.liveperson.engagement import Visit, read_visit, write_visit


@pytest.mark.parametrize("visit", [Visit(), Visit("xyz"), Visit("xyz", "abc")])
def test_a_visit_is_read_as_it_was_written(visit: Visit) -> None:
    """The next attempt comes back as the visitor of the one before."""
    assert read_visit(write_visit(visit)) == visit


def test_no_visit_was_kept() -> None:
    """The first attempt has none to come back as."""
    assert read_visit("") is None
