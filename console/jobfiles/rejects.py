"""The entries of a file that are no jobs: reported, and kept to be corrected."""

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

# So many are named on standard error; all of them are in the file.
REPORTED: Final = 20


class Rejects:
    """The files of rejected entries, made when there is a first one.

    Each is a line of JSON; a row of a table is one of CSV as well, with its own columns and the
    reason, so that it can be corrected where it was written, and submitted as it is.
    """

    def __init__(self, path: Path, source: Source, *, append: bool) -> None:
        """Append where a run goes on with another one."""
        self._unit = source.unit
        self._lines = _File(path, append=append)
        self._rows: _Rows | None = None
        if source.is_table:
            # Beside the other one, and named like it.
            beside = path.with_suffix(".csv") if path.suffix == ".jsonl" else Path(f"{path}.csv")
            self._rows = _Rows(_File(beside, append=append), source.delimiter)
        self.count = 0

    @property
    def paths(self) -> list[Path]:
        """Where they go."""
        return [self._lines.path, *([self._rows.file.path] if self._rows else [])]

    def close(self) -> None:
        """Close the files, if there are any."""
        self._lines.close()
        if self._rows is not None:
            self._rows.file.close()

    def add(self, rejected: Rejected) -> None:
        """Report an entry and keep it; one that cannot be kept holds up no other."""
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
        """Say how many there are, and where."""
        where = ""
        if not self._lines.is_broken:
            where = f", with the reasons in {self._lines.path}"
        if self._rows is not None and self._rows.file.is_there:
            where += f"; correct them in {self._rows.file.path}, and submit that"
        return f"{counted(self.count, self._unit)} rejected{where}"


class _File:
    """A file of lines, made with the first one; what cannot be written is said once."""

    def __init__(self, path: Path, *, append: bool) -> None:
        self.path = path
        self._mode = "ab" if append else "wb"
        self._file: BinaryIO | None = None
        self.is_broken = False

    @property
    def is_there(self) -> bool:
        """Whether it holds all that was written."""
        return self._file is not None and not self.is_broken

    @property
    def is_fresh(self) -> bool:
        """Whether what is written next is the first."""
        return self._file is None and not (self._mode == "ab" and self.path.exists())

    def write(self, line: str) -> None:
        """Write a line, as long as that goes well."""
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
        """Close it, if it is there."""
        if self._file is not None:
            # What could not be written was said then.
            with suppress(OSError):
                self._file.close()


class _Rows:
    """Rejected rows as CSV, cell by cell as they were: a sign before one would be sent with it."""

    def __init__(self, file: _File, delimiter: str) -> None:
        self.file = file
        self._delimiter = delimiter

    def add(self, rejected: Rejected) -> None:
        """Write a row, under the names of its columns."""
        cells = {
            name: cell for name, cell in (rejected.cells or {}).items() if name != REASON_COLUMN
        }
        if self.file.is_fresh:
            # Excel takes a file for UTF-8 by this mark alone.
            self.file.write(BYTE_ORDER_MARK.decode() + self._line([*cells, REASON_COLUMN]))
        self.file.write(self._line([*cells.values(), rejected.reason]))

    def _line(self, cells: list[str]) -> str:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n", delimiter=self._delimiter).writerow(cells)
        return line.getvalue().removesuffix("\n")
