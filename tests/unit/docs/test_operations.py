"""The operator's page says what the code does: events, codes, limits."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from typing import Final

from tasks.messages.dead_letter import ERROR_CODES
from tasks.store.rights import STORE_RIGHTS
from tests.documents import ROOT, codes, read, rows, section
from worker.broker.redis.rights import BROKER_RIGHTS

LEVELS: Final = {"exception": "error"} | {
    level: level for level in ("debug", "info", "warning", "error", "critical")
}


def logged() -> Iterator[tuple[str, str]]:
    """Give every event that a line of ours can have, with its level."""
    for package in ("config", "worker", "tasks"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name("log"), attr=level),
                        args=[ast.Constant(str(event)), *_],
                    ) if level in LEVELS:
                        yield event, LEVELS[level]


def test_every_event_of_the_log_is_explained() -> None:
    """An operator who searches for an event finds it, with its level, and no other is there."""
    table = rows(section(read("docs/operations.md"), "Log"))
    assert sorted((codes(row[0])[0], row[1]) for row in table) == sorted(set(logged()))


def test_every_code_of_a_dead_letter_is_explained() -> None:
    """In the order in which the contract and the code have them."""
    table = rows(section(read("docs/operations.md"), "Dead letters"))
    assert [codes(row[0])[0] for row in table] == list(ERROR_CODES)


def test_every_right_of_a_redis_user_is_named() -> None:
    """Those that check tries, in the rule that creates the user."""
    _, _, behind = read("docs/operations.md").partition("ACL SETUSER overture on >PASSWORD ")
    needed = {**STORE_RIGHTS, **BROKER_RIGHTS}
    commands = {f"+{name}" for commands in needed.values() for name in commands}
    patterns = [f"~{pattern}" for pattern in needed]
    assert behind.partition("```")[0].split() == [*patterns, *sorted(commands)]


def test_every_limit_is_that_of_the_code() -> None:
    """The numbers are the constants that they are said to be."""
    table = rows(section(read("docs/operations.md"), "Limits"))
    for row in table:
        module, _, name = codes(row[2])[0].rpartition(".")
        assert float(row[1]) == getattr(importlib.import_module(module), name), row[0]
    assert len(table) > 10
