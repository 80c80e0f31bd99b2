"""A table of jobs, from CSV or Excel: named columns, and rows that become jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Final

from console.jobfiles.csv_columns import Column, Misnamed, assemble, column
from console.jobfiles.job_file import Entry, UnreadableFile
from console.jobfiles.naming import Naming

# The file of rejected rows has this column in addition; it is ignored when the file is submitted.
REASON_COLUMN: Final = "reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The columns of a file; None is one without a name, as spreadsheets leave behind."""

    columns: Sequence[Column | None]
    naming: Naming
    defaults: Sequence[tuple[Column, str]] = field(repr=False)

    def entry(
        self, number: int, cells: Sequence[str], *, fault: str = "", shown: Callable[[], str]
    ) -> Entry:
        """Read a row as a job, unless it has a `fault` already; `shown` returns its text."""
        named = [(one, cell) for one, cell in zip(self.columns, cells, strict=False) if one]
        by_name = {one.name: cell for one, cell in named}
        fault = fault or self._fault(cells)
        if not fault:
            try:
                document = assemble(chain(self.defaults, named), self.naming)
                return Entry(number=number, document=document, cells=by_name)
            except Misnamed as error:
                fault = str(error)
        return Entry(number=number, fault=fault, text=shown(), cells=by_name)

    def _fault(self, cells: Sequence[str]) -> str:
        """Return what is wrong with a row as a whole, or an empty text."""
        if len(cells) < len(self.columns) or any(cells[len(self.columns) :]):
            return f"the row has {len(cells)} cells; there are {len(self.columns)} columns"
        for place, (one, cell) in enumerate(zip(self.columns, cells, strict=False), start=1):
            if one is None and cell.strip():
                return (
                    f"the cell in column {place} stands under no name; name the column, or empty it"
                )
        return ""


def table_of(names: Sequence[str], naming: Naming) -> Table:
    """Find the fields of a table's columns. Raises UnreadableFile."""
    names = [name.strip() for name in names]
    if not any(names):
        raise UnreadableFile("the file has no first row with the names of the columns")
    missing = sorted(naming.columns.keys() - set(names))
    if missing:
        raise UnreadableFile(f"the file has no column {missing[0]!r}, which the --map names")
    try:
        columns = [_column(name, naming) if name else None for name in names]
        defaults = [(column(path), cell) for path, cell in naming.defaults.items()]
    except Misnamed as error:
        raise UnreadableFile(str(error)) from None
    paths = sorted((tuple(map(str, one.path)), one.name) for one in columns if one and one.path)
    for (path, name), (following, other) in pairwise(paths):
        if following[: len(path)] == path:
            raise UnreadableFile(f"the columns {name} and {other} hold the same field")
    return Table(columns=columns, naming=naming, defaults=defaults)


def _column(name: str, naming: Naming) -> Column:
    path = naming.columns.get(name, "" if name == REASON_COLUMN else name)
    return column(name, path) if path else Column(name, (), "text")
