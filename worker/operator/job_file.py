"""A file of jobs, read one at a time: JSON Lines, a JSON array, or CSV; in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO, Final, Literal

Format = Literal["jsonl", "json", "csv"]

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
    is what stood there.
    """

    number: int
    document: object = field(default=None, repr=False)
    fault: str | None = None
    text: str = field(default="", repr=False)


def guess_format(name: str, start: bytes) -> Format:
    """Tell the format by the file's name where that says it, else by its first characters."""
    if PurePath(name).suffix.lower() in CSV_SUFFIXES:
        return "csv"
    first = start.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
    if first == b"[":
        return "json"
    if first in {b"{", b""} or PurePath(name).suffix.lower() in {".json", ".jsonl", ".ndjson"}:
        return "jsonl"
    return "csv"


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
