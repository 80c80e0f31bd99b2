"""JSON Lines, and a JSON array read element by element: both in bounded memory.

Not ijson: it does not return an element's text, which the strict reader needs (to refuse a repeated
key) and the file of rejected jobs shows. The standard library's decoder tells where an element
ends.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO, Final

from console.jobfiles.job_file import Entry, UnreadableFile, read_lines, text_of
from tasks.messages.json_text import MalformedJSON, loads_strict

CHUNK_BYTES: Final = 16 * 1024

_BLANKS: Final = " \t\r\n"
# Numbers stay texts: only the end of an element is needed here.
_EXTENT: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def read_json_array(file: BinaryIO, *, max_bytes: int) -> Iterator[Entry]:
    """Read the elements of an array. Raises UnreadableFile at the first place that is not JSON.

    All elements before that have been yielded by then.
    """
    text = _Text(file)
    if not text.skip("["):
        raise UnreadableFile("the file is not a JSON array")
    number = 0
    while not text.skip("]"):
        if number and not text.skip(","):
            raise UnreadableFile(
                f"the array breaks off after element {number}: a comma or ] is missing"
            )
        number += 1
        yield _entry(number, text.element(number, max_bytes), max_bytes)
    if text.next_character():
        raise UnreadableFile("something follows the JSON array; put one job a line instead")


def _entry(number: int, element: str, max_bytes: int) -> Entry:
    try:
        document = loads_strict(element.encode(), max_bytes=max_bytes)
    except MalformedJSON as error:
        fault = str(error).replace("the message", "the element", 1)
        return Entry(number=number, fault=fault, text=element[:max_bytes])
    return Entry(number=number, document=document)


class _Text:
    """The text of a file; only the current element is in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._rest = ""
        # Each read doubles what there is, so that a long element is not decoded too often.
        chunks = iter(lambda: file.read(max(CHUNK_BYTES, len(self._rest))), b"")
        self._chunks = codecs.iterdecode(chunks, "utf-8-sig")

    def next_character(self) -> str:
        """Return the next character that is not blank; empty at the end of the file."""
        while True:
            self._rest = self._rest.lstrip(_BLANKS)
            if self._rest or not self._more():
                return self._rest[:1]

    def skip(self, character: str) -> bool:
        """Skip a character; False if the next one is another."""
        if self.next_character() != character:
            return False
        self._rest = self._rest[1:]
        return True

    def element(self, number: int, max_bytes: int) -> str:
        """Return the text of the next element. Raises UnreadableFile if it is not JSON."""
        is_number = self.next_character() in set("-0123456789")
        while True:
            try:
                _, end = _EXTENT.raw_decode(self._rest)
            except json.JSONDecodeError as error:
                if len(self._rest) > max_bytes:
                    raise UnreadableFile(_broken(number, f"within {max_bytes} bytes")) from None
                if not self._more():
                    raise UnreadableFile(_broken(number, error.msg.removesuffix(" at"))) from None
            except RecursionError:
                raise UnreadableFile(_broken(number, "nested too deep")) from None
            else:
                # A number's end shows only in what follows: 1e+ may be the start of 1e+5.
                if not (is_number and end + 2 >= len(self._rest) and self._more()):
                    element, self._rest = self._rest[:end], self._rest[end:]
                    return element

    def _more(self) -> bool:
        """Read a chunk; False at the end of the file."""
        try:
            chunk = next(self._chunks, "")
        except UnicodeDecodeError:
            raise UnreadableFile("the file is not UTF-8") from None
        self._rest += chunk
        return bool(chunk)


def _broken(number: int, reason: str) -> str:
    return (
        f"element {number} of the array is not JSON ({reason}), so that nothing "
        "after it could be read; correct it, or put one job a line"
    )


def read_json_lines(file: BinaryIO, *, max_bytes: int) -> Iterator[Entry]:
    """Read the jobs of a file, one a line; blank lines are skipped."""
    for number, line, is_cut in read_lines(file, max_bytes):
        if not line.strip():
            continue
        if is_cut:
            fault = f"the line has more than {max_bytes} bytes"
            yield Entry(number=number, fault=fault, text=text_of(line[:max_bytes]))
            continue
        try:
            document = loads_strict(line.strip(), max_bytes=max_bytes)
        except MalformedJSON as error:
            yield Entry(number=number, fault=_for_a_line(str(error)), text=text_of(line))
        else:
            yield Entry(number=number, document=document)


def _for_a_line(fault: str) -> str:
    """Turn the fault of a message into that of a line."""
    return fault.replace("the message", "the line", 1).replace(" at line 1 column", " at column")
