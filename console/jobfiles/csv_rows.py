"""CSV: one job a row, its columns named by the dotted path of the field they hold.

The schema of a job says what a cell is: text stays as it stands (an id keeps its zeros), numbers
become numbers, lists of texts are separated by |, objects and other lists are JSON. An empty cell
is a field that is not there.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import BinaryIO, Final

from console.jobfiles.csv_columns import Column, Misnamed, assemble, column
from console.jobfiles.job_file import Entry, UnreadableFile, read_lines

# Spreadsheets write what their country uses; no path holds any of them.
DELIMITERS: Final = (",", ";", "\t")
# How the csv module says that a file ends within a quoted cell.
_NOT_CLOSED: Final = "unexpected end of data"
# Excel's own first line, which says what separates the cells.
_SEPARATOR: Final = re.compile(r'"?sep=([^\w"\r\n])"?[,;\t]*\s*', re.IGNORECASE)


@dataclass(slots=True)
class _Row:
    """The lines of the row that is being read, as they stand in the file."""

    lines: list[str] = field(default_factory=list)
    is_cut: bool = False
    size: int = 0

    def begin(self) -> None:
        """Forget the row before."""
        self.lines.clear()
        self.is_cut = False
        self.size = 0


class _Endless(Exception):
    """A row holds more than any job may: a quote in it is not closed."""


def read_csv(file: BinaryIO, *, max_bytes: int) -> Iterator[Entry]:
    """Read the jobs of a file whose first row names the columns. Raises UnreadableFile.

    A quote that is not closed takes the rows behind it into its cell. What they are is then
    anybody's guess, so that none of them is read.
    """
    csv.field_size_limit(max_bytes)
    row = _Row()
    lines = _text_lines(file, max_bytes, row)
    passed = 0
    try:
        first = next(lines, "")
        if said := _SEPARATOR.fullmatch(first):
            first, passed = next(lines, ""), 1
        delimiter = said[1] if said else delimiter_of(first)
        rows = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
        names = next(rows, [])
    except (csv.Error, _Endless) as error:
        raise UnreadableFile(f"the row with the names of the columns is not CSV: {error}") from None
    if row.is_cut:
        raise UnreadableFile(f"the row with the names of the columns has over {max_bytes} bytes")
    columns = _columns(names)
    while True:
        number = rows.line_num + passed + 1
        row.begin()
        try:
            cells = next(rows, None)
        except (csv.Error, _Endless) as error:
            if isinstance(error, _Endless) or str(error) == _NOT_CLOSED:
                raise UnreadableFile(
                    f"a quote that opens in the row at line {number} is not closed, or the row has "
                    f"more than {max_bytes} bytes, so that nothing from there on could be read; "
                    f"correct it, and continue with --skip {number - 1}"
                ) from None
            yield Entry(number=number, fault=_not_csv(error, row, number), text=_shown(row))
            continue
        if cells is None:
            return
        if row.is_cut or any(cell.strip() for cell in cells):
            yield _entry(number, cells, columns, row)


def delimiter_of(first: str) -> str:
    """Tell what stands between the cells of a table by its first line, or the first of its text."""
    if said := _SEPARATOR.match(first):
        return said[1]
    return max(DELIMITERS, key=first.partition("\n")[0].count)


def _text_lines(file: BinaryIO, max_bytes: int, row: _Row) -> Iterator[str]:
    for _, line, is_cut in read_lines(file, max_bytes):
        # What is not UTF-8 is found, and said, with its row.
        text = line.decode("utf-8", errors="surrogateescape")
        row.lines.append(text)
        row.is_cut = row.is_cut or is_cut
        row.size += len(line)
        if row.size > max_bytes and (len(row.lines) > 1 or '"' in text):
            raise _Endless(_NOT_CLOSED)
        # Where it is cut, nobody knows which cells it has.
        yield "\n" if is_cut else text


def _columns(names: Sequence[str]) -> list[Column | None]:
    """Find the fields of the columns; None for one without a name, as spreadsheets leave behind."""
    if not any(name.strip() for name in names):
        raise UnreadableFile("the file has no first row with the names of the columns")
    try:
        columns = [column(name.strip()) if name.strip() else None for name in names]
    except Misnamed as error:
        raise UnreadableFile(str(error)) from None
    paths = sorted((tuple(map(str, one.path)), one.name) for one in columns if one)
    for (path, name), (following, other) in pairwise(paths):
        if following[: len(path)] == path:
            raise UnreadableFile(f"the columns {name} and {other} hold the same field")
    return columns


def _entry(number: int, cells: Sequence[str], columns: Sequence[Column | None], row: _Row) -> Entry:
    by_name = {one.name: cell for one, cell in zip(columns, cells, strict=False) if one}
    fault = _fault(cells, columns, row)
    if not fault:
        named = [(one, cell) for one, cell in zip(columns, cells, strict=False) if one]
        try:
            return Entry(number=number, document=assemble(named), cells=by_name)
        except Misnamed as error:
            fault = str(error)
    return Entry(number=number, fault=fault, text=_shown(row), cells=by_name)


def _fault(cells: Sequence[str], columns: Sequence[Column | None], row: _Row) -> str:
    """Say what is wrong with a row as a whole, empty if nothing is."""
    if row.is_cut:
        return "the row has a line that is too long"
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return "the row is not UTF-8; save the file as UTF-8"
    if any("\0" in cell for cell in cells):
        return "the row contains a NUL character; remove it, or save the file as UTF-8 text"
    if len(cells) < len(columns) or any(cells[len(columns) :]):
        return f"the row has {len(cells)} cells; there are {len(columns)} columns"
    for place, (one, cell) in enumerate(zip(columns, cells, strict=False), start=1):
        if one is None and cell.strip():
            return f"the cell in column {place} stands under no name; name the column, or empty it"
    return ""


def _not_csv(error: Exception, row: _Row, number: int) -> str:
    count = len(row.lines)
    lines = f" (lines {number} to {number + count - 1})" if count > 1 else ""
    return f"the row{lines} is not CSV: {error}; a quote within a cell is written twice"


def _shown(row: _Row) -> str:
    text = "".join(row.lines).rstrip("\r\n")
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
