"""Documents as lines of text: JSON Lines, CSV, or a table for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import click

from worker.messages.json_text import dumps_compact

Form = Literal["jsonl", "csv", "table"]
Document = dict[str, Any]

GAP: Final = "  "


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
            return dumps_compact(document).decode()
        if self._form == "csv":
            return _csv([_cell(column.value(document)) for column in self._columns])
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
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps_compact(value).decode()


def _printable(value: object) -> str:
    # What a producer wrote must not steer the terminal.
    text = "".join(one if one.isprintable() else "?" for one in _cell(value))
    return click.unstyle(text) or "-"
