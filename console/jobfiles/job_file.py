"""A file of jobs, read one at a time: JSON Lines, a JSON array, or CSV; in constant memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import PurePath
from typing import Any, BinaryIO, Final, Literal

Format = Literal["jsonl", "json", "csv", "xlsx"]

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
CSV_SUFFIXES: Final = frozenset({".csv", ".tsv"})
# Enough to see past blank lines what kind of file it is.
SNIFFED_BYTES: Final = 4096


class UnreadableFile(Exception):
    """The file as a whole, or the rest of it, cannot be read as jobs; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One job of a file, or what stands in its place.

    `number` is its line in JSON Lines and CSV (where the row begins), its place in a JSON array,
    both from 1. Either `document` is what was read, or `fault` says why nothing could be; `text`
    is what stood there. `cells` are those of a table's row, by the names of their columns.
    """

    number: int
    document: object = field(default=None, repr=False)
    fault: str | None = None
    text: str = field(default="", repr=False)
    cells: Mapping[str, str] | None = field(default=None, repr=False)


def guess_format(name: str, start: bytes) -> Format:
    """Tell the format by the file's name where that says it, else by its first characters."""
    name = re.sub(r"\.gz$", "", name, flags=re.IGNORECASE)
    if PurePath(name).suffix.lower() in CSV_SUFFIXES:
        return "csv"
    first = start.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
    if first == b"[":
        return "json"
    if first in {b"{", b""} or PurePath(name).suffix.lower() in {".json", ".jsonl", ".ndjson"}:
        return "jsonl"
    return "csv"


def ends_lines_with_returns(start: bytes) -> bool:
    """Tell whether a file that begins so ends its lines as old Macs, and Excel for them, do."""
    # One at the very end may have its newline behind it.
    return b"\r" in start[:-1] and b"\n" not in start


class ReturnsAsNewlines(io.RawIOBase):
    """A file whose lines end in a carriage return, as one whose lines end in a newline."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file

    def readable(self) -> bool:
        """Say that it is for reading alone."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read some, with the ends of lines replaced."""
        # One read of the system, as a stream wants it.
        found = self._file.read1(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(found)] = found
        return len(found)


def read_lines(file: BinaryIO, max_bytes: int) -> Iterator[tuple[int, bytes, bool]]:
    """Read lines with their numbers; one longer than `max_bytes` is cut, and said to be.

    The rest of such a line is passed over, so that memory stays bounded whatever the file holds.
    """
    number = 0
    while line := file.readline(max_bytes + 1):
        number += 1
        is_cut = len(line) > max_bytes and not line.endswith(b"\n")
        rest = line
        while is_cut and rest and not rest.endswith(b"\n"):
            rest = file.readline(max_bytes)
        yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line, is_cut


def text_of(raw: bytes) -> str:
    """Decode what may be no UTF-8, for showing it."""
    return raw.decode("utf-8", errors="replace").rstrip("\r\n")
