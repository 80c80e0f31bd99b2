"""JSON Lines: one job a line; a bad line is reported, and the next one is read all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from console.jobfiles.job_file import Entry, read_lines, text_of
from tasks.messages.json_text import MalformedJSON, loads_strict


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
