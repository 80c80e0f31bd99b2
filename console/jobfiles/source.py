"""Where jobs are submitted from: a file or standard input, in one of three formats."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, cast

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
from tasks.messages.json_text import dumps_compact

STANDARD_INPUT: Final = "-"
READERS: Final = {"jsonl": read_json_lines, "json": read_json_array, "csv": read_csv}


class Source:
    """An open file of jobs; `size` is in bytes, where it is known.

    `path` is the file's own, empty for a pipe; `content` is a digest of what it holds, in 64
    hexadecimal digits, empty for what can be read but once. `delimiter` stands between the cells of
    a table.
    """

    def __init__(
        self,
        file: BufferedReader,
        form: Format,
        *,
        size: int | None,
        path: str = "",
        content: str = "",
        delimiter: str = ",",
    ) -> None:
        self._file = file
        self.form = form
        self.size = size
        self.path = path
        self.content = content
        self.delimiter = delimiter
        self._start = file.tell() if size is not None else 0

    @property
    def unit(self) -> str:
        """What the numbers of its entries count."""
        return "element" if self.form == "json" else "line"

    def fingerprint(self, options: Mapping[str, Any]) -> str:
        """Tell the file, and how it is read, from others; empty for a pipe."""
        if not self.content:
            return ""
        return hashlib.sha256(self.content.encode() + dumps_compact(options)).hexdigest()

    def entries(self, *, max_bytes: int, skip: int) -> Iterator[Entry]:
        """Read its entries but those up to number `skip`. Raises UnreadableFile."""
        try:
            for entry in READERS[self.form](self._file, max_bytes=max_bytes):
                if entry.number > skip:
                    yield entry
        except OSError as error:
            raise UnreadableFile(f"the rest of the file cannot be read: {error.strerror}") from None

    def position(self) -> int:
        """Return how many bytes have been read; 0 where that is not known."""
        return self._file.tell() if self.size else 0

    def is_at(self, path: Path) -> bool:
        """Tell whether this is the file that a path leads to."""
        with contextlib.suppress(OSError):
            there = path.stat()
            return stat.S_ISREG(there.st_mode) and os.path.samestat(
                there, os.fstat(self._file.fileno())
            )
        return False

    def rewind(self) -> None:
        """Begin anew; only what was opened to be read twice can."""
        self._file.seek(self._start)


def _stdin() -> BufferedReader:
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    return cast("BufferedReader", sys.stdin.buffer)


@contextmanager
def open_source(name: str, form: Format | None, *, twice: bool) -> Iterator[Source]:
    """Open a file of jobs, or standard input for `-`. Raises OSError, and UnreadableFile.

    `twice` says that it will be read twice: what cannot be is copied to disk first.
    """
    with ExitStack() as stack:
        file = stack.enter_context(Path(name).open("rb")) if name != STANDARD_INPUT else _stdin()
        if twice and not file.seekable():
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            file = cast("BufferedReader", copy)
        start = file.peek(SNIFFED_BYTES)[:SNIFFED_BYTES]
        if not start:
            raise UnreadableFile("is empty: there is no job in it")
        if what := foreign_kind(start):
            raise UnreadableFile(what)
        size = os.fstat(file.fileno()).st_size if file.seekable() else None
        content = _digest(file) if size is not None else ""
        if ends_lines_with_returns(start):
            file = BufferedReader(ReturnsAsNewlines(file))
        yield Source(
            file,
            form or guess_format(name, start),
            size=size,
            path=str(Path(name).resolve()) if name != STANDARD_INPUT else "",
            content=content,
            delimiter=delimiter_of(text_of(start.removeprefix(BYTE_ORDER_MARK))),
        )


def _digest(file: BufferedReader) -> str:
    """Read a file for a digest of what it holds, and go back; empty if it cannot be read whole."""
    start = file.tell()
    try:
        return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
    finally:
        file.seek(start)
