"""Documents as lines of text: JSON Lines, CSV, or a table for people."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import click

from console.plain import escaped, printable
from tasks.messages.json_text import dumps_compact

Form = Literal["jsonl", "csv", "table"]
Document = dict[str, Any]

GAP: Final = "  "
# Blanks before it are none to some spreadsheets; full-width forms are the same to others.
_FORMULA: Final = re.compile(r"[\t\r]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
# A cell may have lines and tabs within it.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `width` is in characters, and 0 keeps the column out of tables."""

    name: str
    value: Callable[[Document], object]
    width: int = 0


class Rows:
    """Writes documents of one kind in one form, a line each."""

    def __init__(self, form: Form, columns: Sequence[Column]) -> None:
        self._form = form
        self._columns = columns

    @property
    def header(self) -> str | None:
        """The line before the first, if the form has one."""
        if self._form == "csv":
            return _csv([column.name for column in self._columns])
        if self._form == "table":
            return self._aligned([column.name.upper() for column in self._shown])
        return None

    def line(self, document: Document) -> str:
        """Write one document; in CSV it may hold newlines."""
        if self._form == "jsonl":
            return escaped(dumps_compact(document).decode())
        if self._form == "csv":
            return _csv([_harmless(column.value(document)) for column in self._columns])
        return self._aligned([_printable(column.value(document)) for column in self._shown])

    @property
    def _shown(self) -> list[Column]:
        return [column for column in self._columns if column.width]

    def _aligned(self, cells: list[str]) -> str:
        # Ids are there to be copied: a long one is never cut, it moves the rest of its line.
        padded = (cell.ljust(column.width) for cell, column in zip(cells, self._shown, strict=True))
        return GAP.join(padded).rstrip()


def at(path: str) -> Callable[[Document], object]:
    """Return what reads the value at a dotted path, None where there is none."""

    def value(document: Document) -> object:
        place: Any = document
        for part in path.split("."):
            place = place.get(part) if isinstance(place, dict) else None
        return place

    return value


def _csv(cells: Sequence[str]) -> str:
    line = io.StringIO()
    # It quotes a cell with a newline in it only where that ends a line.
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().removesuffix("\n")


def _harmless(value: object) -> str:
    """Write a cell so that no spreadsheet calculates it and no terminal obeys it.

    A quote before what begins like a formula is what spreadsheets themselves use (OWASP, CSV
    Injection).
    """
    text = _CONTROL.sub("\ufffd", _cell(value))
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) else text


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps_compact(value).decode()


def _printable(value: object) -> str:
    return click.unstyle(printable(_cell(value))) or "-"
