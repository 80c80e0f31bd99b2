"""The project's documents, read for tests that hold them to the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the line on which that begins."""

    language: str
    text: str
    line: int


def read(name: str) -> str:
    """Return the text of a document, named from the project's folder."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[Block]:
    """Give every fenced block."""
    for match in _FENCE.finditer(text):
        yield Block(match[1], match[2], text.count("\n", 0, match.start(2)) + 1)


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of its own rank or a higher one."""
    prose = _without_blocks(text)
    start = re.search(rf"^(#+) {re.escape(heading)}$", prose, re.MULTILINE)
    assert start, f"there is no heading {heading!r}"
    end = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(prose, start.end())
    return prose[start.end() : end.start() if end else len(prose)]


def rows(text: str) -> list[list[str]]:
    """Return the rows of the first table in a text, without its head, cell by cell."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.append([cell.strip().replace(r"\|", "|") for cell in cells])
        elif found:
            break
    return found[2:]


def codes(cell: str) -> list[str]:
    """Return what stands in `backquotes`."""
    return re.findall(r"`([^`]+)`", cell)


def links(text: str) -> list[str]:
    """Return the targets of a document's links."""
    return _LINK.findall(_without_blocks(text))


def anchors(text: str) -> set[str]:
    """Return the names by which a document's headings can be linked to, as GitHub makes them."""
    headings = _HEADING.findall(_without_blocks(text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_blocks(text: str) -> str:
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
