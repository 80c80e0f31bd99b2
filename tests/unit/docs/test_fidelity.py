"""docs/fidelity.md names code and tests that are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Final

import pytest

from tests.documents import ROOT, codes, read, rows, section

TEXT: Final = read("docs/fidelity.md")
SECTIONS: Final = (
    "Hosts",
    "AppJWT",
    "ConsumerJWS",
    "CONVERSATION: the request",
    "CONVERSATION: the answer",
    "No second conversation",
    "Monitoring API",
    "Limits and retries",
    "After the creation",
)
ROWS: Final = [row for name in SECTIONS for row in rows(section(TEXT, name))]
FOLDERS: Final = ("tasks/", "worker/", "config/", "examples/")


def path_of(name: str, folder: str) -> str:
    """Return a path from the project's folder."""
    return name if name.startswith(FOLDERS) else f"{folder}/{name}"


@cache
def names_in(name: str) -> frozenset[str]:
    """Return the tests of a file."""
    tree = ast.parse(read(f"tests/{name}"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_behaviour_is_where_it_is_said_to_be(row: list[str]) -> None:
    """Files and tests exist; each behaviour has a source, a side that does it, and a test."""
    behaviour, source, client, simulator, tests = row
    assert behaviour
    for cell, folder in ((client, "tasks/liveperson"), (simulator, "simulator")):
        assert codes(cell) or cell == "\N{EN DASH}"
        for name in codes(cell):
            assert (ROOT / path_of(name, folder)).is_file(), name
    known = [line[0] for line in rows(TEXT)]
    assert set(source.split(", ")) <= set(known), source
    assert codes(client) or codes(simulator)
    assert codes(tests)
    for name in codes(tests):
        file, _, test = name.partition("::")
        assert test in names_in(file), name


def test_no_part_of_the_client_or_the_simulator_is_left_out() -> None:
    """Each file that speaks LivePerson's language has a behaviour in the table."""
    named = {path_of(name, "tasks/liveperson") for row in ROWS for name in codes(row[2])}
    named |= {path_of(name, "simulator") for row in ROWS for name in codes(row[3])}
    speaking = [
        str(path.relative_to(ROOT))
        for folder in ("tasks/liveperson", "simulator")
        for path in (ROOT / folder).glob("*.py")
        if re.search(
            r"^Sources?: .*(API|guide|page)|liveperson\.com", path.read_text(), re.MULTILINE
        )
    ]
    assert [name for name in speaking if name not in named] == []
    assert len(speaking) > 5
