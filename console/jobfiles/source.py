"""Opens a file of jobs, or standard input, in one of four formats."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, Self, cast

from console.jobfiles.csv_rows import delimiter_of, read_csv
from console.jobfiles.file_kind import foreign_kind
from console.jobfiles.job_file import (
    BYTE_ORDER_MARK,
    SNIFFED_BYTES,
    Entry,
    Format,
    ReturnsAsNewlines,
    UnreadableFile,
    ends_lines_with_returns,
    guess_format,
    text_of,
)
from console.jobfiles.json_files import read_json_array, read_json_lines
from console.jobfiles.layers import as_utf8, unpacked
from console.jobfiles.naming import AS_NAMED, Naming, naming_of
from console.jobfiles.xlsx_rows import ZIP, is_workbook, read_xlsx
from tasks.messages.json_text import dumps_compact

STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """How a file is read: its format (None: recognise it), and how a table is understood.

    `twice`: it will be read twice, so a pipe is copied to disk first.
    """

    form: Format | None = None
    naming: Naming = AS_NAMED
    sheet: str | None = None
    twice: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what is set, to be stored and used when the file is read again."""
        said = {"sheet": self.sheet, "naming": self.naming.to_dict()}
        return {name: value for name, value in said.items() if value}

    @classmethod
    def of(cls, form: Format | None, said: Mapping[str, Any]) -> Self:
        """Return what `to_dict` has written."""
        return cls(
            form=form, naming=naming_of(said.get("naming", {})), sheet=said.get("sheet"), twice=True
        )


class Source:
    """An open file of jobs; `size` is in bytes, None if unknown.

    `path` is the file's own, empty for a pipe; `content` is the SHA-256 of its bytes, empty if it
    can be read only once. `delimiter` separates the cells of a table.
    """

    def __init__(
        self,
        file: BufferedReader,
        form: Format,
        *,
        size: int | None,
        how: FileOptions | None = None,
        path: str = "",
        content: str = "",
        delimiter: str = ",",
        again: Callable[[], BufferedReader] | None = None,
        on_disk: BufferedReader | None = None,
    ) -> None:
        """`again` opens the text from its start; `on_disk` is the file before any decoding."""
        self._file = file
        self._again = again
        self._on_disk = on_disk or file
        self._how = how or FileOptions()
        self.form = form
        self.size = size
        self.path = path
        self.content = content
        self.delimiter = delimiter
        # The number of the last entry that was read.
        self.last = 0

    @property
    def unit(self) -> str:
        """What the numbers of its entries count: lines, rows or elements."""
        return {"json": "element", "xlsx": "row"}.get(self.form, "line")

    @property
    def is_table(self) -> bool:
        """Whether its entries are rows with named columns."""
        return self.form in {"csv", "xlsx"}

    def fingerprint(self, options: Mapping[str, Any]) -> str:
        """Return a digest of the file and of how it is read; empty for a pipe."""
        if not self.content:
            return ""
        return hashlib.sha256(self.content.encode() + dumps_compact(options)).hexdigest()

    def entries(self, *, max_bytes: int, skip: int) -> Iterator[Entry]:
        """Read the entries after number `skip`. Raises UnreadableFile."""
        try:
            for entry in self._read(max_bytes):
                self.last = entry.number
                if entry.number > skip:
                    yield entry
        except OSError as error:
            raise UnreadableFile(f"the rest of the file cannot be read: {error.strerror}") from None

    def position(self) -> int:
        """Return how many bytes have been read; 0 if that is unknown."""
        return self._on_disk.tell() if self.size else 0

    def is_at(self, path: Path) -> bool:
        """Tell whether this is the file at a path."""
        with contextlib.suppress(OSError):
            there = path.stat()
            return stat.S_ISREG(there.st_mode) and os.path.samestat(
                there, os.fstat(self._on_disk.fileno())
            )
        return False

    def rewind(self) -> None:
        """Start again; only for a source that was opened to be read twice."""
        assert self._again is not None
        self._file = self._again()

    def _read(self, max_bytes: int) -> Iterator[Entry]:
        match self.form:
            case "jsonl":
                return read_json_lines(self._file, max_bytes=max_bytes)
            case "json":
                return read_json_array(self._file, max_bytes=max_bytes)
            case "csv":
                return read_csv(self._file, max_bytes=max_bytes, naming=self._how.naming)
            case "xlsx":
                return read_xlsx(
                    self._file,
                    max_bytes=max_bytes,
                    naming=self._how.naming,
                    sheet=self._how.sheet,
                )


def _stdin() -> BufferedReader:
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    return cast("BufferedReader", sys.stdin.buffer)


@contextmanager
def open_source(name: str, how: FileOptions) -> Iterator[Source]:
    """Open a file of jobs, or standard input for `-`. Raises OSError, and UnreadableFile."""
    with ExitStack() as stack:
        file = stack.enter_context(Path(name).open("rb")) if name != STANDARD_INPUT else _stdin()
        start = file.peek(SNIFFED_BYTES)[:SNIFFED_BYTES]
        if not start:
            raise UnreadableFile("is empty: there is no job in it")
        is_archive = start.startswith(ZIP)
        if (how.twice or is_archive) and not _can_be_read_twice(file, is_archive):
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            file = cast("BufferedReader", copy)
        begin = file.tell() if file.seekable() else 0
        is_book = is_archive and is_workbook(file)
        if is_archive:
            file.seek(begin)
        try:
            text = file if is_book else as_utf8(unpacked(file))
            start = text.peek(SNIFFED_BYTES)[:SNIFFED_BYTES]
        except UnreadableFile:
            raise UnreadableFile("is compressed with gzip, and damaged or cut off") from None
        if not is_book and (what := foreign_kind(start)):
            raise UnreadableFile(what)
        with_returns = not is_book and ends_lines_with_returns(start)

        def again() -> BufferedReader:
            file.seek(begin)
            return file if is_book else _layered(file, with_returns=with_returns)

        size = os.fstat(file.fileno()).st_size if file.seekable() else None
        content = ""
        if size is not None:
            file.seek(begin)
            content = _digest(file)
            text = again()
        elif with_returns:
            text = BufferedReader(ReturnsAsNewlines(text))
        yield Source(
            text,
            "xlsx" if is_book else how.form or guess_format(name, start),
            size=size,
            how=how,
            path=str(Path(name).resolve()) if name != STANDARD_INPUT else "",
            content=content,
            delimiter=","
            if is_book
            else delimiter_of(text_of(start.removeprefix(BYTE_ORDER_MARK))),
            again=again,
            on_disk=file,
        )


def _layered(file: BufferedReader, *, with_returns: bool) -> BufferedReader:
    text = as_utf8(unpacked(file))
    return BufferedReader(ReturnsAsNewlines(text)) if with_returns else text


def _can_be_read_twice(file: BufferedReader, is_archive: bool) -> bool:  # noqa: FBT001 - of its kind
    # An archive's offsets count from the file's start.
    return file.seekable() and not (is_archive and file.tell())


def _digest(file: BufferedReader) -> str:
    """Return the SHA-256 of a file; empty if it cannot be read to its end."""
    try:
        return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
