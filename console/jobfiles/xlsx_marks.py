"""Cells of a sheet that show something to people, and hold nothing for openpyxl.

Of merged cells, only the first holds what all of them show. And a program that writes a workbook
does not work its formulas out: it saves no value, or 0 and a request to calculate on opening.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection
from typing import IO, Final
from xml.parsers import expat
from zipfile import ZipFile

from console.jobfiles.job_file import UnreadableFile

# Excel's own limits.
MAX_ROWS: Final = 1_048_576
MAX_COLUMNS: Final = 16_384
CHUNK_BYTES: Final = 256 * 1024

FORMULA: Final = "is a formula whose value is not in the file; open it in Excel, and save it"
MERGED: Final = "is merged with another cell; unmerge them, and fill in each one"

_MARKED: Final = re.compile(rb"<(?:\w+:)?(?:f|mergeCell)[\s/>]")
# Longer than what is looked for, which may lie across two chunks.
_OVERLAP_BYTES: Final = 64
_CELL: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_TRUE: Final = ("1", "true")


class Marks:
    """The first cell of each row that is merged into another, or a formula without a value.

    `columns` are the places, from 1, of the cells that matter.
    """

    def __init__(self, columns: Collection[int]) -> None:
        self._columns = columns
        # Two bytes a row, so that a sheet costs the same whatever it holds.
        self._formulas = array("H", bytes(2 * (MAX_ROWS + 1)))
        self._merged = array("H", bytes(2 * (MAX_ROWS + 1)))
        self._may_expand = MAX_ROWS * len(columns)

    def formula(self, row: int) -> int:
        """Return the place of a row's first formula without a value, from 1; 0 without any."""
        return self._formulas[row]

    def merged(self, row: int) -> int:
        """Return the place of a row's first cell that is merged into another, or 0."""
        return self._merged[row]

    def mark_formula(self, row: int, column: int) -> None:
        """Note that a cell is a formula without a value."""
        if column in self._columns:
            _mark(self._formulas, row, column)

    def mark_merged(self, reference: str) -> None:
        """Note a range of merged cells, such as `B2:B9`. Raises UnreadableFile."""
        first, _, last = reference.partition(":")
        (left, top), (right, bottom) = _place(first), _place(last or first)
        for column in self._columns:
            if not left <= column <= right:
                continue
            # Cells are merged once, unless somebody means harm.
            self._may_expand -= bottom - top + 1
            if self._may_expand < 0:
                raise UnreadableFile("the workbook merges the same cells again and again")
            for row in range(top + (column == left), bottom + 1):
                _mark(self._merged, row, column)


def read_marks(archive: ZipFile, part: str, workbook: str, *, columns: Collection[int]) -> Marks:
    """Read a sheet, which is one part of the archive. Raises UnreadableFile and ExpatError."""
    marks = Marks(columns)
    if _is_marked(archive, part):
        reader = _Reader(marks, is_stale=_is_stale(archive, workbook))
        with archive.open(part) as file:
            reader.read(file)
    return marks


class _Reader:
    """Follows a sheet's rows and cells, and counts those that do not say where they are."""

    def __init__(self, marks: Marks, *, is_stale: bool) -> None:
        self._marks = marks
        self._is_stale = is_stale
        self._row = self._column = 0
        self._kind = self._value = ""
        self._is_formula = self._is_value = False

    def read(self, file: IO[bytes]) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.ParseFile(file)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        match _bare(name):
            case "row":
                self._row = _demand_row(_whole(attributes.get("r")) or self._row + 1)
                self._column = 0
            case "c":
                self._column += 1
                if "r" in attributes:
                    self._column = _place(attributes["r"])[0]
                self._kind, self._value = attributes.get("t", ""), ""
                self._is_formula = False
            case "f":
                self._is_formula = True
            case "v":
                self._is_value = True
            case "mergeCell":
                self._marks.mark_merged(attributes.get("ref", ""))

    def _text(self, data: str) -> None:
        if self._is_value:
            self._value += data

    def _end(self, name: str) -> None:
        match _bare(name):
            case "v":
                self._is_value = False
            case "c" if self._is_formula and self._lacks_value():
                self._marks.mark_formula(self._row, self._column)

    def _lacks_value(self) -> bool:
        # A formula that gave an empty text is a text.
        return (not self._value and self._kind != "str") or (self._is_stale and self._value == "0")


def _is_marked(archive: ZipFile, part: str) -> bool:
    """Tell whether a sheet has merged cells or formulas at all: most have none."""
    before = b""
    with archive.open(part) as file:
        while chunk := file.read(CHUNK_BYTES):
            if _MARKED.search(before + chunk):
                return True
            before = chunk[-_OVERLAP_BYTES:]
    return False


def _is_stale(archive: ZipFile, workbook: str) -> bool:
    """Tell whether a workbook asks to be calculated on opening."""
    found = False

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal found
        found = found or (_bare(name) == "calcPr" and attributes.get("fullCalcOnLoad", "") in _TRUE)

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    with archive.open(workbook) as file:
        parser.ParseFile(file)
    return found


def _bare(name: str) -> str:
    return name.rpartition(":")[2]


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else None


def _demand_row(row: int) -> int:
    if not 0 < row <= MAX_ROWS:
        raise UnreadableFile("the workbook has a row beyond the last one of Excel")
    return row


def _mark(places: array[int], row: int, column: int) -> None:
    places[row] = min(places[row] or column, column)


def _place(reference: str) -> tuple[int, int]:
    """Return the column and the row of a reference such as `B2`, both from 1."""
    found = _CELL.fullmatch(reference)
    column = 0
    for letter in found[1] if found else "":
        column = column * 26 + ord(letter) - ord("A") + 1
    if found is None or column > MAX_COLUMNS:
        raise UnreadableFile(f"the workbook names a cell that no sheet has: {reference[:20]}")
    return column, _demand_row(int(found[2]))
