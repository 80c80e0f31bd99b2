"""CSV: one job a row, its columns named by the dotted path of the field they hold.

The schema of a job says what a cell is: text stays as it stands (an id keeps its zeros), numbers
become numbers, lists of texts are separated by |, objects and other lists are JSON. An empty cell
is a field that is not there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import BinaryIO, Final

from worker.operator.csv_columns import Column, Misnamed, assemble, column
from worker.operator.job_file import Entry, UnreadableFile, read_lines

# Spreadsheets write what their country uses; no path holds any of them.
DELIMITERS: Final = (",", ";", "\t")


@dataclass(slots=True)
class _Row:
    """The lines of the row that is being read, as they stand in the file."""

    lines: list[str] = field(default_factory=list)
    is_cut: bool = False


def read_csv(file: BinaryIO, *, max_bytes: int) -> Iterator[Entry]:
    """Read the jobs of a file whose first row names the columns. Raises UnreadableFile."""
    csv.field_size_limit(max_bytes)
    row = _Row()
    lines = _text_lines(file, max_bytes, row)
    first = next(lines, "")
    delimiter = max(DELIMITERS, key=first.count)
    rows = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        columns = _columns(next(rows, []))
    except csv.Error as error:
        raise UnreadableFile(f"the row with the names of the columns is not CSV: {error}") from None
    while True:
        number = rows.line_num + 1
        row.lines.clear()
        row.is_cut = False
        try:
            cells = next(rows, None)
        except csv.Error as error:
            yield Entry(number=number, fault=f"the row is not CSV: {error}", text=_shown(row))
            continue
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield _entry(number, cells, columns, row)


def _text_lines(file: BinaryIO, max_bytes: int, row: _Row) -> Iterator[str]:
    for _, line, is_cut in read_lines(file, max_bytes):
        # What is not UTF-8 is found, and said, with its row.
        text = line.decode("utf-8", errors="surrogateescape")
        row.lines.append(text)
        row.is_cut = row.is_cut or is_cut
        yield text


def _columns(names: Sequence[str]) -> list[Column]:
    if not any(names):
        raise UnreadableFile("the file has no first row with the names of the columns")
    try:
        columns = [column(name.strip()) for name in names]
    except Misnamed as error:
        raise UnreadableFile(str(error)) from None
    paths = sorted((tuple(map(str, one.path)), one.name) for one in columns)
    for (path, name), (following, other) in pairwise(paths):
        if following[: len(path)] == path:
            raise UnreadableFile(f"the columns {name} and {other} hold the same field")
    return columns


def _entry(number: int, cells: list[str], columns: list[Column], row: _Row) -> Entry:
    if row.is_cut:
        fault = "the row has a line that is too long"
    elif any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        fault = "the row is not UTF-8; save the file as UTF-8"
    elif len(cells) != len(columns):
        fault = f"the row has {len(cells)} cells; there are {len(columns)} columns"
    else:
        try:
            return Entry(number=number, document=assemble(columns, cells))
        except Misnamed as error:
            fault = str(error)
    return Entry(number=number, fault=fault, text=_shown(row))


def _shown(row: _Row) -> str:
    text = "".join(row.lines).rstrip("\r\n")
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
