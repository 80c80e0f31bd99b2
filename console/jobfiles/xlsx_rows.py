"""A sheet of an Excel workbook (.xlsx): one job a row, with columns as in CSV.

openpyxl reads it as a stream, but keeps some parts in memory. Their real sizes are checked before,
and that no cell or row is larger than any that Excel writes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO, Final
from zipfile import BadZipFile, ZipFile, ZipInfo

from console.jobfiles.csv_columns import Column, Misnamed
from console.jobfiles.job_file import Entry, UnreadableFile
from console.jobfiles.naming import Naming
from console.jobfiles.table import Table, table_of
from console.jobfiles.xlsx_marks import (
    CHUNK_BYTES,
    FORMULA,
    MAX_COLUMNS,
    MAX_ROWS,
    MERGED,
    Marks,
    read_marks,
)

ZIP: Final = b"PK\x03\x04"
WORKBOOK: Final = "xl/workbook.xml"
# Excel keeps only this many digits of a number.
SURE_DIGITS: Final = 15
# The texts of all cells are in one part of the archive, which openpyxl keeps in memory.
MAX_TEXT_BYTES: Final = 256 * 1024 * 1024
MAX_SHEET_BYTES: Final = 4 * 1024 * 1024 * 1024
MAX_OTHER_BYTES: Final = 64 * 1024 * 1024
# The largest text of a cell (Excel: 32,767 characters) and the largest row, as XML.
MAX_PIECE_BYTES: Final = 1024 * 1024
MAX_ROW_BYTES: Final = 16 * 1024 * 1024
# How many empty rows may precede the row with the names.
MAX_BLANK_ROWS: Final = 1000

_TEXTS: Final = "xl/sharedStrings.xml"
_SHEETS: Final = "xl/worksheets/"
# A number format of zeros alone shows that many digits.
_PADDED: Final = re.compile("0{2,40}")


def is_workbook(file: BinaryIO) -> bool:
    """Tell whether a ZIP archive is a workbook; moves the file's position."""
    try:
        with ZipFile(file) as archive:
            return WORKBOOK in archive.namelist()
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def read_xlsx(
    file: BinaryIO, *, max_bytes: int, naming: Naming, sheet: str | None
) -> Iterator[Entry]:
    """Read the jobs of a sheet whose first row names the columns. Raises UnreadableFile."""
    try:
        from openpyxl import load_workbook  # noqa: PLC0415 - an extra
    except ImportError:
        raise UnreadableFile(
            "the file is an Excel workbook, which needs openpyxl: run pip install 'openpyxl>=3.1', "
            "or save its sheet as CSV UTF-8"
        ) from None
    try:
        with ZipFile(file) as archive:
            _demand_bounds(archive)
        file.seek(0)
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except UnreadableFile:
        raise
    except Exception as error:  # noqa: BLE001 - openpyxl has no error of its own
        raise _unreadable(error) from None
    with closing(book):
        chosen = _sheet(book, sheet)
        first, names = _names(chosen)
        table = table_of(names, naming)
        marks = _marks(file, chosen, table)
        # One column more than there are names, to notice cells without a name.
        width = len(names) + 1
        rows = enumerate(
            chosen.iter_rows(min_row=first + 1, max_row=MAX_ROWS, max_col=width), start=first + 1
        )
        while True:
            try:
                number, row = next(rows, (0, None))
            except Exception as error:  # noqa: BLE001 - as above
                raise _unreadable(error) from None
            if row is None:
                return
            entry = _entry(number, row, table, marks, book.epoch, max_bytes)
            if entry is not None:
                yield entry


def _marks(file: BinaryIO, sheet: Any, table: Table) -> Marks:
    """Find the cells that a job would lack without a word. Raises UnreadableFile."""
    columns = [place for place, one in enumerate(table.columns, start=1) if one and one.path]
    try:
        with ZipFile(file) as archive:
            return read_marks(archive, sheet._worksheet_path, WORKBOOK, columns=columns)  # noqa: SLF001
    except UnreadableFile:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile, zlib and expat have many
        raise _unreadable(error) from None


def _entry(
    number: int, row: Sequence[Any], table: Table, marks: Marks, epoch: datetime, max_bytes: int
) -> Entry | None:
    """Read a row; None if it is empty."""
    cells, fault = [], ""
    for place, cell in enumerate(row):
        one = table.columns[place] if place < len(table.columns) else None
        try:
            cells.append(_text(cell, one, epoch))
        except Misnamed as error:
            fault = fault or f"{one.name if one else f'column {place + 1}'}: {error}"
            cells.append(str(cell.value))
    formula = marks.formula(number)
    if not formula and not any(cell.strip() for cell in cells):
        return None
    if place := formula or marks.merged(number):
        one = table.columns[place - 1]
        fault = f"{one.name if one else place}: {FORMULA if formula else MERGED}"
    while len(cells) > len(table.columns) and not cells[-1]:
        cells.pop()
    cells += [""] * (len(table.columns) - len(cells))
    if sum(map(len, cells)) > max_bytes:
        return Entry(number=number, fault=f"the row has more than {max_bytes} bytes", text="")
    return table.entry(number, cells, fault=fault, shown=lambda: "\t".join(cells))


def _text(cell: Any, column: Column | None, epoch: datetime) -> str:
    """Return a cell as CSV would contain it. Raises Misnamed."""
    value = cell.value
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return _date(value)
        case date() | time() | timedelta():
            return str(value)
        case int() | float() if column is not None and column.is_moment:
            return _date(_serial(value, epoch))
        case int() | float():
            return _number(value, cell.number_format, is_text=column is None or _is_text(column))
    return str(value)


def _is_text(column: Column) -> bool:
    return column.kind in {"text", "words"}


def _date(value: datetime) -> str:
    if not (value.hour or value.minute or value.second or value.microsecond):
        return value.date().isoformat()
    # Excel counts in days, so a time can be off by some microseconds.
    return (value + timedelta(microseconds=500_000)).isoformat(" ", "seconds")


def _serial(value: float, epoch: datetime) -> datetime:
    from openpyxl.utils.datetime import from_excel  # noqa: PLC0415 - an extra

    try:
        found = from_excel(value, epoch)
    except (ValueError, OverflowError):
        found = None
    if not isinstance(found, datetime):
        raise Misnamed("is a number that is no date; format the column as a date")
    return found


def _number(value: float, shown_as: str, *, is_text: bool) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise Misnamed("is no number that anybody can read; correct it")
    whole = int(value) if float(value).is_integer() else None
    if not is_text:
        return str(whole) if whole is not None else repr(value)
    if whole is None:
        return repr(value)
    if abs(whole) >= 10**SURE_DIGITS:
        raise Misnamed(
            f"is a number of more than {SURE_DIGITS} digits, of which Excel has lost the last ones "
            "(1.23E+11); format the column as text in Excel, and enter it again"
        )
    return str(whole).zfill(len(shown_as)) if _PADDED.fullmatch(shown_as or "") else str(whole)


def _sheet(book: Any, name: str | None) -> Any:
    """Return the sheet of this name; without a name, the first that is not hidden."""
    sheets = [one for one in book.worksheets if name is not None or one.sheet_state == "visible"]
    chosen = next((one for one in sheets if name in {None, one.title}), None)
    if chosen is None:
        known = ", ".join(one.title for one in book.worksheets)
        raise UnreadableFile(f"the workbook has no sheet {name!r}; it has {known}")
    # The sheet's own size may be wrong.
    chosen.reset_dimensions()
    return chosen


def _names(sheet: Any) -> tuple[int, list[str]]:
    """Return the number of the first row that is not empty, and its cells."""
    rows = sheet.iter_rows(max_row=MAX_BLANK_ROWS, max_col=MAX_COLUMNS, values_only=True)
    try:
        for number, row in enumerate(rows, start=1):
            names = ["" if cell is None else str(cell).strip() for cell in row]
            while names and not names[-1]:
                names.pop()
            if names:
                return number, names
    except Exception as error:  # noqa: BLE001 - openpyxl has no error of its own
        raise _unreadable(error) from None
    raise UnreadableFile("the sheet has no first row with the names of the columns")


def _demand_bounds(archive: ZipFile) -> None:
    """Raise UnreadableFile for parts too large for memory; their claimed sizes may be wrong."""
    for part in archive.infolist():
        if part.is_dir():
            continue
        if part.filename.startswith(_SHEETS) and part.filename.endswith(".xml"):
            _look_through(archive, part, MAX_SHEET_BYTES, most_row=MAX_ROW_BYTES)
        elif part.filename == _TEXTS:
            _look_through(archive, part, MAX_TEXT_BYTES)
        else:
            # Any name: the workbook may declare another part to be the texts.
            _look_through(archive, part, MAX_OTHER_BYTES)


def _look_through(archive: ZipFile, part: ZipInfo, most: int, *, most_row: int = 0) -> None:
    size = piece = row = 0
    end_of_row, before = b"</row>", b""
    with archive.open(part) as file:
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            piece = piece + len(chunk) if b"<" not in chunk else len(chunk) - chunk.rfind(b"<")
            row = row + len(chunk) if end_of_row not in before + chunk else 0
            before = chunk[1 - len(end_of_row) :]
            if b"<!DOCTYPE" in chunk[:CHUNK_BYTES] and size <= CHUNK_BYTES:
                raise UnreadableFile(
                    "the workbook declares entities, as none that Excel writes does"
                )
            if size > most:
                raise UnreadableFile(
                    f"the workbook's {part.filename} has more than {most >> 20} MiB; save its "
                    "sheet as CSV UTF-8, which can be of any size"
                )
            if piece > MAX_PIECE_BYTES or (most_row and row > most_row):
                raise UnreadableFile(
                    f"a cell or a row in the workbook's {part.filename} is larger than any that "
                    "Excel writes"
                )


def _unreadable(error: Exception) -> UnreadableFile:
    said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return UnreadableFile(
        f"the workbook, or the rest of it, cannot be read ({said}); open it in Excel and save it "
        "anew, or save its sheet as CSV UTF-8"
    )
