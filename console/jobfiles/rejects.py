"""Reports the entries of a file that were rejected, and keeps them in files to be corrected."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from console.jobfiles.job_file import BYTE_ORDER_MARK
from console.jobfiles.source import Source
from console.jobfiles.submission import Rejected
from console.jobfiles.table import REASON_COLUMN
from console.output import complain, counted

# How many are reported on standard error; all of them are in the file.
REPORTED: Final = 20


class Rejects:
    """The files of rejected entries, created with the first entry.

    Each entry becomes a line of JSON. A row of a table is also written as CSV, with its own columns
    and the reason, so that the file can be corrected and submitted again.
    """

    def __init__(self, path: Path, source: Source, *, append: bool) -> None:
        """With `append`, earlier entries of the files are kept."""
        self._unit = source.unit
        self._lines = _File(path, append=append)
        self._rows: _Rows | None = None
        if source.is_table:
            # In the same folder, with the same name.
            beside = path.with_suffix(".csv") if path.suffix == ".jsonl" else Path(f"{path}.csv")
            self._rows = _Rows(_File(beside, append=append), source.delimiter)
        self.count = 0

    @property
    def paths(self) -> list[Path]:
        """The files' paths."""
        return [self._lines.path, *([self._rows.file.path] if self._rows else [])]

    def close(self) -> None:
        """Close the files, if there are any."""
        self._lines.close()
        if self._rows is not None:
            self._rows.file.close()

    def add(self, rejected: Rejected) -> None:
        """Report an entry and write it to the files; an error of a file stops nothing."""
        self.count += 1
        kept = {self._unit: rejected.number, "reason": rejected.reason, **rejected.content}
        self._lines.write(json.dumps(kept, ensure_ascii=False))
        if self._rows is not None and rejected.cells is not None and not self._lines.is_broken:
            self._rows.add(rejected)
        if self.count <= REPORTED or self._lines.is_broken:
            complain(f"{self._unit} {rejected.number}: {rejected.reason}")
        elif self.count == REPORTED + 1:
            complain(f"more {self._unit}s were rejected; {self._lines.path} lists them all")

    def summary(self) -> str:
        """Say how many entries were rejected, and where they are."""
        where = ""
        if not self._lines.is_broken:
            where = f", with the reasons in {self._lines.path}"
        if self._rows is not None and self._rows.file.is_there:
            where += f"; correct them in {self._rows.file.path}, and submit that"
        return f"{counted(self.count, self._unit)} rejected{where}"


class _File:
    """A file of lines, created with the first one; an error is reported once."""

    def __init__(self, path: Path, *, append: bool) -> None:
        self.path = path
        self._mode = "ab" if append else "wb"
        self._file: BinaryIO | None = None
        self.is_broken = False

    @property
    def is_there(self) -> bool:
        """Whether it exists, and holds all that was written."""
        return self._file is not None and not self.is_broken

    @property
    def is_fresh(self) -> bool:
        """Whether the next line is the first one in it."""
        return self._file is None and not (self._mode == "ab" and self.path.exists())

    def write(self, line: str) -> None:
        """Write a line, unless an earlier one failed."""
        if self.is_broken:
            return
        try:
            if self._file is None:
                self._file = self.path.open(self._mode)  # type: ignore[assignment]  # a mode of bytes
            assert self._file is not None
            self._file.write(line.encode(errors="replace") + b"\n")
            self._file.flush()
        except OSError as error:
            self.is_broken = True
            complain(
                f"{self.path} cannot be written: {error.strerror}; what is rejected is reported "
                "here alone, and the rest is still sent: name another file with --rejected"
            )

    def close(self) -> None:
        """Close it, if it was created."""
        if self._file is not None:
            # An error of writing has been reported.
            with suppress(OSError):
                self._file.close()


class _Rows:
    """Rejected rows as CSV. Cells are not escaped for Excel: the file is submitted again."""

    def __init__(self, file: _File, delimiter: str) -> None:
        self.file = file
        self._delimiter = delimiter

    def add(self, rejected: Rejected) -> None:
        """Write a row; before the first one, the names of the columns."""
        cells = {
            name: cell for name, cell in (rejected.cells or {}).items() if name != REASON_COLUMN
        }
        if self.file.is_fresh:
            # Excel recognises UTF-8 only by this mark.
            self.file.write(BYTE_ORDER_MARK.decode() + self._line([*cells, REASON_COLUMN]))
        self.file.write(self._line([*cells.values(), rejected.reason]))

    def _line(self, cells: list[str]) -> str:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n", delimiter=self._delimiter).writerow(cells)
        return line.getvalue().removesuffix("\n")
