"""A JSON array of jobs, read element by element.

Why not a library: the strict reader wants each job's own text (to refuse keys that stand twice and
numbers that readers understand differently), and the standard library's decoder says where an
element ends. That is all a stream needs.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from console.jobfiles.job_file import Entry, UnreadableFile, read_lines, text_of
from tasks.messages.json_text import MalformedJSON, loads_strict

CHUNK_BYTES: Final = 256 * 1024

_NUMBER_STARTS: Final = "-0123456789"
_BLANK: Final = re.compile(r"[ \t\r\n]*")
# Numbers stay text: here only the end of an element is looked for.
_EXTENT: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def read_json_array(file: BinaryIO, *, max_bytes: int) -> Iterator[Entry]:
    """Read the elements of an array. Raises UnreadableFile where it is none, or none any more.

    Everything before that has been yielded by then.
    """
    text = _Text(file, max_bytes)
    text.expect("[", "the file is not a JSON array")
    number = 0
    if text.peek() == "]":
        text.expect("]", "")
    else:
        while True:
            number += 1
            yield _entry(number, text.element(number), max_bytes)
            if text.peek() == "]":
                text.expect("]", "")
                break
            text.expect(
                ",", f"the array breaks off after element {number}: a comma or ] is missing"
            )
    if text.peek():
        raise UnreadableFile("something follows the JSON array; put one job a line instead")


def _entry(number: int, element: str, max_bytes: int) -> Entry:
    try:
        document = loads_strict(element.encode(), max_bytes=max_bytes)
    except MalformedJSON as error:
        fault = str(error).replace("the message", "the element", 1)
        return Entry(number=number, fault=fault, text=element[:max_bytes])
    return Entry(number=number, document=document)


class _Text:
    """The text of a file, of which only the present element is kept."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._place = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end of the file."""
        while True:
            match = _BLANK.match(self._text, self._place)
            self._place = match.end() if match else self._place
            if self._place < len(self._text) or not self._more():
                return self._text[self._place : self._place + 1]

    def expect(self, character: str, otherwise: str) -> None:
        """Pass over a character. Raises UnreadableFile with `otherwise` where it is another."""
        if self.peek() != character:
            raise UnreadableFile(otherwise)
        self._place += 1

    def element(self, number: int) -> str:
        """Return the text of the next element. Raises UnreadableFile where there is no JSON."""
        self.peek()
        while True:
            try:
                _, end = _EXTENT.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if len(self._text) - self._place > self._max_bytes:
                    raise UnreadableFile(
                        _broken(number, f"within {self._max_bytes} bytes")
                    ) from None
                if not self._more():
                    raise UnreadableFile(_broken(number, error.msg.removesuffix(" at"))) from None
            except RecursionError:
                raise UnreadableFile(_broken(number, "nested too deep")) from None
            else:
                # Of a number only what follows says that it has ended: 1e+ is the start of 1e+5.
                is_open = self._text[self._place] in _NUMBER_STARTS and end + 2 >= len(self._text)
                element = self._text[self._place : end]
                if not is_open or not self._more():
                    self._place += len(element)
                    return element

    def _more(self) -> bool:
        """Read on, forgetting what is done with; False at the end of the file."""
        if self._ended:
            return False
        chunk = self._file.read(CHUNK_BYTES)
        self._ended = not chunk
        try:
            decoded = self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError:
            raise UnreadableFile("the file is not UTF-8") from None
        self._text = self._text[self._place :] + decoded
        self._place = 0
        return not self._ended


def _broken(number: int, reason: str) -> str:
    return (
        f"element {number} of the array is not JSON ({reason}), so that nothing "
        "after it could be read; correct it, or put one job a line"
    )


def read_json_lines(file: BinaryIO, *, max_bytes: int) -> Iterator[Entry]:
    """Read the jobs of a file; blank lines are none."""
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
    """Say of a line what the reader of messages says of a message."""
    return fault.replace("the message", "the line", 1).replace(" at line 1 column", " at column")
