"""CSV: one job a row; a column's name is the dotted path of its field.

The job's schema says how a cell is read: text is kept as it is (an id keeps its zeros), numbers
become numbers, texts of a list are separated by |, objects and other lists are JSON. An empty cell
means that the field is absent.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO, Final

from console.jobfiles.job_file import Entry, UnreadableFile, read_lines
from console.jobfiles.naming import AS_NAMED, Naming
from console.jobfiles.table import table_of

# Which one a spreadsheet writes depends on its country; no path contains any of them.
DELIMITERS: Final = (",", ";", "\t")
# The csv module's text for a file that ends within a quoted cell.
_NOT_CLOSED: Final = "unexpected end of data"
# A first line that Excel may write, which names the separator.
_SEPARATOR: Final = re.compile(r'"?sep=([^\w"\r\n])"?[,;\t]*\s*', re.IGNORECASE)


@dataclass(slots=True)
class _Row:
    """The lines of the row that is being read, unchanged."""

    lines: list[str] = field(default_factory=list)
    is_cut: bool = False
    size: int = 0

    def begin(self) -> None:
        """Forget the row before."""
        self.lines.clear()
        self.is_cut = False
        self.size = 0


class _Endless(Exception):
    """A row is larger than any job may be, so a quote in it is probably not closed."""


def read_csv(file: BinaryIO, *, max_bytes: int, naming: Naming = AS_NAMED) -> Iterator[Entry]:
    """Read the jobs of a file whose first row names the columns. Raises UnreadableFile.

    If a quote is not closed, its cell includes the rows after it. Nobody can tell where they begin,
    so reading ends there.
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
    table = table_of(names, naming)
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
            yield table.entry(number, cells, fault=_fault(cells, row), shown=lambda: _shown(row))


def delimiter_of(first: str) -> str:
    """Tell the separator of a table's cells from the first line of its text."""
    if said := _SEPARATOR.match(first):
        return said[1]
    return max(DELIMITERS, key=first.partition("\n")[0].count)


def _text_lines(file: BinaryIO, max_bytes: int, row: _Row) -> Iterator[str]:
    for _, line, is_cut in read_lines(file, max_bytes):
        # What is not UTF-8 is reported with its row.
        text = line.decode("utf-8", errors="surrogateescape")
        row.lines.append(text)
        row.is_cut = row.is_cut or is_cut
        row.size += len(line)
        if row.size > max_bytes and (len(row.lines) > 1 or '"' in text):
            raise _Endless(_NOT_CLOSED)
        # The cells of a cut line are unknown.
        yield "\n" if is_cut else text


def _fault(cells: Sequence[str], row: _Row) -> str:
    """Return why a row's cells cannot be read, or an empty text."""
    if row.is_cut:
        return "the row has a line that is too long"
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return "the row is not UTF-8; save the file as UTF-8"
    if any("\0" in cell for cell in cells):
        return "the row contains a NUL character; remove it, or save the file as UTF-8 text"
    return ""


def _not_csv(error: Exception, row: _Row, number: int) -> str:
    count = len(row.lines)
    lines = f" (lines {number} to {number + count - 1})" if count > 1 else ""
    return f"the row{lines} is not CSV: {error}; a quote within a cell is written twice"


def _shown(row: _Row) -> str:
    text = "".join(row.lines).rstrip("\r\n")
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
