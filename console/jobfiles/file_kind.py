"""Recognises files that are not UTF-8 text by their first bytes, and says what to do with them."""

from __future__ import annotations

import re
from typing import Final

_SAVE: Final = "save its sheet as CSV UTF-8, and submit that"
_CONVERT: Final = (
    "save it as UTF-8 (in Excel: CSV UTF-8; in PowerShell: Out-File -Encoding utf8), or convert it "
    "with iconv"
)
_UNPACK: Final = "unpack it, and submit what is in it"
_EXPORT: Final = "export its rows as JSON Lines or CSV, and submit that"
_NO_JOBS: Final = "jobs are JSON Lines, a JSON array or CSV"

# Files that people have submitted, or might: (first bytes, what it is, what to do).
_KINDS: Final = (
    (b"PK\x03\x04", "an Excel workbook (.xlsx), or another ZIP archive", _SAVE),
    (b"PK\x05\x06", "an empty ZIP archive", _UNPACK),
    (b"PK\x07\x08", "a ZIP archive in parts", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)", _SAVE),
    (b"\x1f\x8b", "compressed with gzip", "pipe it: gunzip --stdout FILE | overture submit -"),
    (b"BZh", "compressed with bzip2", "pipe it: bunzip2 --stdout FILE | overture submit -"),
    (b"\xfd7zXZ\x00", "compressed with xz", "pipe it: xz -dc FILE | overture submit -"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "pipe it: zstd -dc FILE | overture submit -"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4", "pipe it: lz4 -dc FILE | overture submit -"),
    (b"\x1f\x9d", "compressed with compress", "pipe it: zcat FILE | overture submit -"),
    (b"LZIP", "compressed with lzip", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"PAR1", "a Parquet file", _EXPORT),
    (b"ORC\x11", "an ORC file", _EXPORT),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"ARROW1", "an Arrow file", _EXPORT),
    (b"\x89HDF\r\n", "an HDF5 file", _EXPORT),
    (b"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (b"%PDF-", "a PDF document", _NO_JOBS),
    (b"{\\rtf", "an RTF document", _NO_JOBS),
    (b"\x89PNG", "a PNG image", _NO_JOBS),
    (b"\xff\xd8\xff", "a JPEG image", _NO_JOBS),
    (b"GIF8", "a GIF image", _NO_JOBS),
    # Before UTF-16, whose mark is the beginning of this one.
    (b"\xff\xfe\x00\x00", "UTF-32 text", _CONVERT),
    (b"\x00\x00\xfe\xff", "UTF-32 text", _CONVERT),
    (b"\xff\xfe", "UTF-16 text (as Windows calls Unicode)", _CONVERT),
    (b"\xfe\xff", "UTF-16 text (as Windows calls Unicode)", _CONVERT),
)
_TAR_PLACE: Final = 257
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

# Without a mark, ASCII in a wider encoding is recognised by its zero bytes.
_WIDE: Final = (
    (re.compile(rb"(\x00\x00\x00[\t\n\r -~]){1,2}"), "UTF-32 text"),
    (re.compile(rb"([\t\n\r -~]\x00\x00\x00){1,2}"), "UTF-32 text"),
    (re.compile(rb"\x00[\t\n\r -~](\x00[\t\n\r -~]|\Z)"), "UTF-16 text (without its mark)"),
    (re.compile(rb"[\t\n\r -~]\x00([\t\n\r -~]\x00|\Z)"), "UTF-16 text (without its mark)"),
)
# A JSON object over several lines: as JSON Lines every line would be rejected.
_SPREAD_OUT: Final = re.compile(rb'\{[ \t]*\r?\n\s*"')
# Control characters that no text contains, in any encoding.
_BINARY: Final = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")


def foreign_kind(start: bytes) -> str | None:
    """Say what a file with this start is, and what to do with it; None if it may be jobs."""
    for first, what, todo in _KINDS:
        if start.startswith(first):
            return f"is {what}, not UTF-8 text: {todo}"
    if start[_TAR_PLACE:].startswith(b"ustar"):
        return f"is a tar archive, not UTF-8 text: {_UNPACK}"
    for pattern, what in _WIDE:
        if pattern.match(start):
            return f"is {what}, not UTF-8: {_CONVERT}"
    if start.startswith(b"\x00") or (_BINARY.search(start) and not _is_utf8(start)):
        return f"is binary, not UTF-8 text: {_NO_JOBS}"
    text = start.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if text.startswith(b"<"):
        return f"is XML or HTML: {_NO_JOBS}"
    if _SPREAD_OUT.match(text):
        return (
            "holds a JSON object over several lines: put one job a line (as jq --compact-output . "
            "FILE does), or the jobs into an array"
        )
    return None


def _is_utf8(start: bytes) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError as error:
        # The start may end within a character.
        return error.reason == "unexpected end of data"
    return True
