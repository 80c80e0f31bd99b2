"""Decoding a file to UTF-8 text: gzip and UTF-16, as a stream, in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from io import BufferedReader
from typing import Any, Final, cast

from console.jobfiles.job_file import SNIFFED_BYTES, UnreadableFile

GZIP: Final = b"\x1f\x8b"
# Compressed jobs grow ten to a hundred times. A file that grows more than this, and beyond
# SURE_BYTES, was made to fill a disk or the memory.
MAX_RATIO: Final = 300
SURE_BYTES: Final = 64 * 1024 * 1024

# Without a mark, ASCII in UTF-16 is recognised by its zero bytes.
_BIG_ENDIAN: Final = re.compile(rb"\x00[\t\n\r -~]\x00[\t\n\r -~]")
_LITTLE_ENDIAN: Final = re.compile(rb"[\t\n\r -~]\x00[\t\n\r -~]\x00")


def unpacked(file: BufferedReader) -> BufferedReader:
    """Return a file decompressed if it is gzip, else the file itself."""
    if not file.peek(len(GZIP)).startswith(GZIP):
        return file
    return BufferedReader(_Unpacked(file))


def as_utf8(file: BufferedReader) -> BufferedReader:
    """Return a file recoded to UTF-8 if it is UTF-16, else the file itself."""
    start = file.peek(SNIFFED_BYTES)
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return file
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return BufferedReader(_Recoded(file, "utf-16"))
    if _BIG_ENDIAN.match(start):
        return BufferedReader(_Recoded(file, "utf-16-be"))
    if _LITTLE_ENDIAN.match(start):
        return BufferedReader(_Recoded(file, "utf-16-le"))
    return file


class _Unpacked(io.RawIOBase):
    def __init__(self, below: BufferedReader) -> None:
        self._packed = _Counted(below)
        self._file = gzip.GzipFile(fileobj=cast("Any", self._packed), mode="rb")
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            found = self._file.read1(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise UnreadableFile(
                "the file is compressed with gzip, and damaged or cut off: its rest cannot be read"
            ) from None
        self._read += len(found)
        if self._read > max(SURE_BYTES, MAX_RATIO * self._packed.count):
            raise UnreadableFile(
                f"the file grows more than {MAX_RATIO} times when it is unpacked, which no file "
                "of jobs does: unpack it yourself if it is one"
            )
        buffer[: len(found)] = found
        return len(found)


class _Counted:
    """Reads a file, and counts its bytes."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int) -> bytes:
        found = self._file.read(size)
        self.count += len(found)
        return found


class _Recoded(io.RawIOBase):
    def __init__(self, below: BufferedReader, encoding: str) -> None:
        self._below = below
        # Half of a surrogate pair is kept, and reported with its row.
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            found = self._below.read1(len(buffer))
            try:
                text = self._decoder.decode(found, final=not found)
            except UnicodeDecodeError:
                # The file ends within a character.
                text = "\ufffd"
                self._decoder.reset()
            self._rest = text.encode("utf-8", "surrogatepass")
            if not found:
                break
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)
