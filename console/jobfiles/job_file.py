"""What all formats of job files share: an entry, recognising the format, reading lines."""

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
# How much of a file's start is read to recognise it; enough for some blank lines.
SNIFFED_BYTES: Final = 4096


class UnreadableFile(Exception):
    """The file, or the rest of it, cannot be read as jobs; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One job of a file, or the reason why it could not be read.

    `number` counts from 1: the line in JSON Lines and CSV (the first one of a row), the element of
    a JSON array. Either `document` is set, or `fault` with the `text` that was found. `cells` are
    those of a table's row, by the names of their columns.
    """

    number: int
    document: object = field(default=None, repr=False)
    fault: str | None = None
    text: str = field(default="", repr=False)
    cells: Mapping[str, str] | None = field(default=None, repr=False)


def guess_format(name: str, start: bytes) -> Format:
    """Tell the format from the file's extension if it is a known one, else from its start."""
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
    """Tell whether lines end in a carriage return alone, as on old Macs and in Excel for them."""
    # A return at the very end of `start` may be followed by a newline.
    return b"\r" in start[:-1] and b"\n" not in start


class ReturnsAsNewlines(io.RawIOBase):
    """Reads a file whose lines end in carriage returns as if they ended in newlines."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file

    def readable(self) -> bool:
        """Return True: it is for reading only."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read bytes, with carriage returns replaced."""
        # At most one system call, as a raw stream should make.
        found = self._file.read1(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(found)] = found
        return len(found)


def read_lines(file: BinaryIO, max_bytes: int) -> Iterator[tuple[int, bytes, bool]]:
    """Yield each line with its number, and whether it was cut at `max_bytes`.

    The rest of a cut line is skipped, so that memory is bounded.
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
    """Decode bytes for display; they may not be UTF-8."""
    return raw.decode("utf-8", errors="replace").rstrip("\r\n")
