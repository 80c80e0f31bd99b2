"""Files of jobs: what is read from each format, and what is said about the rest."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.jobfiles.csv_columns import Misnamed, column
from console.jobfiles.csv_rows import read_csv
from console.jobfiles.file_kind import foreign_kind
from console.jobfiles.job_file import Format, UnreadableFile, guess_format
from console.jobfiles.json_files import read_json_array, read_json_lines
from console.jobfiles.source import FileOptions, Source, open_source

MAX_BYTES = 2000
BOM = b"\xef\xbb\xbf"


def read(reader: Any, data: bytes) -> list[tuple[int, object, str | None]]:
    """Read everything as (number, document, fault)."""
    entries = reader(io.BytesIO(data), max_bytes=MAX_BYTES)
    return [(entry.number, entry.document, entry.fault) for entry in entries]


def test_json_lines_go_on_after_a_bad_line() -> None:
    """Each bad line says what is wrong with it; blank ones are none, and all keep their number."""
    data = BOM + b'{"a":1}\n\n{"a":\r\n{"a":1,"a":2}\n  [1]  \r\nx\xff\n{"b":2}'
    assert read(read_json_lines, data) == [
        (1, {"a": 1}, None),
        (3, None, "the line is not JSON: Expecting value at column 6"),
        (4, None, 'an object contains the key "a" more than once'),
        (5, [1], None),
        (6, None, "the line is not UTF-8: invalid byte at position 1"),
        (7, {"b": 2}, None),
    ]


def test_a_line_that_is_too_long_is_passed_over() -> None:
    """It is reported, and the next line is read as if nothing had been."""
    long = b'{"a":"' + b"x" * 10 * MAX_BYTES + b'"}'
    assert read(read_json_lines, long + b'\n{"b":2}\n') == [
        (1, None, "the line has more than 2000 bytes"),
        (2, {"b": 2}, None),
    ]


@pytest.mark.parametrize("data", [b"[]", b" [ ] \n", BOM + b"[]"])
def test_an_empty_array_holds_no_job(data: bytes) -> None:
    """Neither is it a fault."""
    assert read(read_json_array, data) == []


def test_an_array_is_read_whatever_way_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a chunk ends, in a number, an escape or a character, the elements are the same."""
    elements = [{"a": [1, {"b": ']}\\" ✓ '}]}, 12345, -1.5e10, "x", True, None, {}, {"z": "\u00e9"}]
    for indent in (None, 2):
        data = json.dumps(elements, indent=indent, ensure_ascii=False).encode()
        for chunk in (1, 2, 3, 7, 1000):
            monkeypatch.setattr("console.jobfiles.json_files.CHUNK_BYTES", chunk)
            assert [document for _, document, _ in read(read_json_array, data)] == elements


@pytest.mark.parametrize("data", [b"[1,2]", b"[12]", b"[{}, -1.5e10]"])
def test_an_array_may_end_in_a_number(data: bytes) -> None:
    """What is no job is said of it, and not that the file breaks off."""
    assert [document for _, document, _ in read(read_json_array, data)] == json.loads(data)


def test_a_faulty_element_does_not_end_the_array() -> None:
    """What is JSON, but not such as every reader understands alike, is refused by itself."""
    assert read(read_json_array, b'[{"a":1,"a":2}, {"b":NaN}, {"c":3}]') == [
        (1, None, 'an object contains the key "a" more than once'),
        (2, None, "the element contains NaN, which JSON does not allow"),
        (3, {"c": 3}, None),
    ]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'{"a":1}', "the file is not a JSON array"),
        (b'[{"a":1} {"b":2}]', "breaks off after element 1: a comma or ] is missing"),
        (b'[{"a":1}, {"b":]', "element 2 of the array is not JSON (Expecting value)"),
        (b'[{"a":1}, ', "element 2 of the array is not JSON (Expecting value)"),
        (b'[{"a":1}', "breaks off after element 1"),
        (b'[{"a":1}] x', "something follows the JSON array"),
        (b'["\xff"]', "the file is not UTF-8"),
        (b'[{"a":"' + b"x" * 3 * MAX_BYTES, "element 1 of the array is not JSON (within 2000"),
        (b"[" * 100_000, "element 1 of the array is not JSON"),
    ],
)
def test_a_broken_array_is_said_to_be(data: bytes, fault: str) -> None:
    """The elements before the break have been read by then."""
    with pytest.raises(UnreadableFile) as raised:
        read(read_json_array, data)
    assert fault in str(raised.value)


class Failing(io.RawIOBase):
    """A disk that can be read to some place and no further."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if count := self._data.readinto(buffer):
            return count
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("jsonl", b'{"a":1}\n'),
        ("json", b'[{"a":1}, '),
        ("csv", b"consumerId\nc\n"),
    ],
)
def test_a_file_that_cannot_be_read_to_its_end_is_said_to(
    monkeypatch: pytest.MonkeyPatch, form: Format, data: bytes
) -> None:
    """What was read before is good; nobody else is to blame."""
    monkeypatch.setattr("console.jobfiles.json_files.CHUNK_BYTES", 8)
    source = Source(io.BufferedReader(Failing(data)), form, size=None)
    entries = source.entries(max_bytes=MAX_BYTES, skip=0)
    assert next(entries).fault is None
    with pytest.raises(UnreadableFile, match="the rest of the file cannot be read: Input/output"):
        next(entries)


CSV = """\
jobId;consumerId;priority;conversation.skillId;profile.authenticatedData.lp_sdes.0.type;\
profile.authenticatedData.lp_sdes.0.info.balance;profile.authenticatedData.lp_sdes[1].type;\
profile.authenticatedData.lp_sdes[1].personal.age.age;clientProperties.features;metadata
a;c1;5;0042;ctmrinfo;-400.99;;;AUTO_MESSAGES|RICH_CONTENT;{"n":1}
b;c2;;;;;personal;34;["AUTO_MESSAGES"];

c;"c
3";x;;;;;;;
d;c4
"e"x;c5;;;;;;;;
f;c6;;;;;;;;{"n":
g;c7;9;;;;;;;
"""


def test_csv_cells_become_fields_of_their_type() -> None:
    """Ids keep their zeros, numbers are numbers, lists close up, and empty cells are left out."""
    read_rows = read(read_csv, BOM + CSV.encode())
    assert read_rows == [
        (
            2,
            {
                "jobId": "a",
                "consumerId": "c1",
                "priority": 5,
                "conversation": {"skillId": "0042"},
                "profile": {
                    "authenticatedData": {
                        "lp_sdes": [{"type": "ctmrinfo", "info": {"balance": -400.99}}]
                    }
                },
                "clientProperties": {"features": ["AUTO_MESSAGES", "RICH_CONTENT"]},
                "metadata": {"n": 1},
            },
            None,
        ),
        (
            3,
            {
                "jobId": "b",
                "consumerId": "c2",
                "profile": {
                    "authenticatedData": {
                        "lp_sdes": [{"type": "personal", "personal": {"age": {"age": 34}}}]
                    }
                },
                "clientProperties": {"features": ["AUTO_MESSAGES"]},
            },
            None,
        ),
        (5, {"jobId": "c", "consumerId": "c\n3", "priority": "x"}, None),
        (7, None, "the row has 2 cells; there are 10 columns"),
        (
            8,
            None,
            "the row is not CSV: ';' expected after '\"'; a quote within a cell is written twice",
        ),
        (9, None, "metadata: takes JSON; the cell is not JSON: Expecting value at line 1 column 6"),
        (10, {"jobId": "g", "consumerId": "c7", "priority": 9}, None),
    ]


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u2007", "\u3000"])
def test_blanks_around_a_cell_that_is_no_text_are_left_out(blank: str) -> None:
    """Spreadsheets write some that JSON does not know."""
    header = "consumerId,priority,clientProperties.features,metadata\n"
    row = f"c,{blank}5{blank},{blank}A|B{blank},{blank}{{}}{blank}\n"
    document = {"priority": 5, "clientProperties": {"features": ["A", "B"]}, "metadata": {}}
    assert read(read_csv, (header + row).encode()) == [(2, {"consumerId": "c", **document}, None)]


def test_a_row_that_is_not_utf8_is_reported() -> None:
    """The others are read."""
    data = b"jobId,consumerId\na,Z\xfcrich\nb,c\n"
    assert read(read_csv, data) == [
        (2, None, "the row is not UTF-8; save the file as UTF-8"),
        (3, {"jobId": "b", "consumerId": "c"}, None),
    ]


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"\n", "no first row"),
        (b"jobId,profile.firstname\n", "did you mean profile.firstName?"),
        (b"jobId,consumerid\n", "did you mean consumerId?"),
        (b" , ,\n", "no first row"),
        (b'jobId,"consumerId\n', "is not CSV: unexpected end of data"),
        (b"jobId,jobId\n", "the columns jobId and jobId hold the same field"),
        (b"metadata.a,jobId,metadata\n", "metadata and metadata.a hold the same field"),
    ],
)
def test_a_csv_file_with_wrong_columns_is_refused_as_a_whole(header: bytes, fault: str) -> None:
    """A misspelt column would otherwise make every row wrong."""
    with pytest.raises(UnreadableFile) as raised:
        read(read_csv, header + b"a,b,c\n")
    assert fault in str(raised.value)


JOB = {"jobId": "a", "consumerId": "c"}


@pytest.mark.parametrize(
    "data",
    [
        b"jobId,consumerId,\na,c,\n",
        b"jobId,consumerId\na,c,,\n",
        b"jobId,,consumerId, \na, ,c,\n",
        b"jobId;consumerId;;\na;c;;\n;;;\n",
        b"jobId\tconsumerId\t\na\tc\t\n",
    ],
)
def test_what_a_spreadsheet_leaves_behind_is_no_fault(data: bytes) -> None:
    """Columns without a name that hold nothing, cells beyond the last column, and empty rows."""
    assert [entry[1:] for entry in read(read_csv, data)] == [(JOB, None)]


def test_a_cell_under_no_name_is_a_fault() -> None:
    """What it was for is unknown, so the row is not sent without it."""
    data = b"jobId,consumerId,\na,c,x\na,c,\na,c,,x\n"
    assert read(read_csv, data) == [
        (2, None, "the cell in column 3 stands under no name; name the column, or empty it"),
        (3, JOB, None),
        (4, None, "the row has 4 cells; there are 3 columns"),
    ]


@pytest.mark.parametrize(
    ("first", "delimiter"),
    [("sep=;", ";"), ("SEP=,", ","), ('"sep=|"', "|"), ("sep=\t", "\t"), ("sep=;;;", ";")],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_first_line_of_excels_names_the_separator(first: str, delimiter: str, end: str) -> None:
    """And is no row; the others keep the number of their line."""
    lines = [first, delimiter.join(JOB), delimiter.join(JOB.values()), f"a{delimiter}"]
    assert read(read_csv, BOM + end.join(lines).encode()) == [
        (3, JOB, None),
        (4, {"jobId": "a"}, None),
    ]


@pytest.mark.parametrize("cell", ["1.23E+11", "1,23E+11", "4E+15", "-1.5E-07", "1.23e+11"])
@pytest.mark.parametrize("name", ["consumerId", "conversation.skillId", "metadata.phone"])
def test_an_id_that_excel_has_rounded_is_refused(name: str, cell: str) -> None:
    """Its last digits are gone: it would be somebody else's."""
    data = f"jobId;{name}\na;{cell}\na;12E4\n"
    first, second = read(read_csv, data.encode())
    assert first[2] is not None
    assert first[2].startswith(f"{name}: is a number as Excel shows long ones")
    assert cell not in first[2].replace("(1.23E+11)", "")
    assert second[2] is None


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", "#NAME?", "########"])
@pytest.mark.parametrize("name", ["consumerId", "priority", "metadata"])
def test_a_spreadsheets_error_is_no_value(name: str, cell: str) -> None:
    """Nobody meant to send it."""
    ((_, document, fault),) = read(read_csv, f"{name}\n{cell}\n".encode())
    assert document is None
    assert fault == f"{name}: is an error of a spreadsheet (such as #N/A); correct its cell"


@pytest.mark.parametrize("rest", ["", "b,c\n", "b,c\n" * MAX_BYTES])
def test_a_quote_that_is_never_closed_ends_the_file(rest: str) -> None:
    """What follows is in its cell, or a row of its own: it is not sent on a guess."""
    entries = read_csv(
        io.BytesIO(f'jobId,consumerId\na,c\nb,"d\n{rest}'.encode()), max_bytes=MAX_BYTES
    )
    assert next(entries).document == JOB
    with pytest.raises(UnreadableFile, match=r"row at line 3 is not closed.* --skip 2"):
        next(entries)


def test_a_quote_that_another_row_closes_costs_the_rows_between() -> None:
    """They are named together, and the rows behind them are read."""
    data = b'jobId,consumerId\na,"c\nb,d\ne,"f"\na,c\n'
    first, second = read(read_csv, data)
    assert first[2] is not None
    assert first[2].startswith("the row (lines 2 to 4) is not CSV: ")
    assert second == (5, JOB, None)


def test_a_row_that_is_too_long_is_passed_over() -> None:
    """It is reported, and the next row is read as if nothing had been."""
    data = b"jobId,consumerId\na," + b"x" * 3 * MAX_BYTES + b"\na,c\n"
    assert read(read_csv, data) == [
        (2, None, "the row has a line that is too long"),
        (3, JOB, None),
    ]


def test_a_nul_in_a_row_is_a_fault() -> None:
    """It is no character of any text."""
    ((_, _, fault),) = read(read_csv, b"jobId,consumerId\na,c\0\n")
    assert fault is not None
    assert fault.startswith("the row contains a NUL")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("jobId", "text"),
        ("notBefore", "text"),
        ("priority", "number"),
        ("conversation.campaignInfo.campaignId", "text"),
        ("conversation.ttrDefName", "text"),
        ("conversation.conversationContext.interactionContextId", "text"),
        ("conversation.conversationContext.features", "words"),
        ("profile.authenticatedData.lp_sdes", "json"),
        ("profile.authenticatedData.lp_sdes.0.info.companySize", "number"),
        ("profile.authenticatedData.lp_sdes.0.info.lastPaymentDate.day", "number"),
        ("profile.authenticatedData.lp_sdes.0.personal.contacts.0.phone", "text"),
        ("engagement.entryPoints", "words"),
        ("engagement.engagementAttributes.0.cart.total", "text"),
        ("metadata.any.thing", "text"),
        ("metadata", "json"),
    ],
)
def test_a_columns_kind_is_that_of_its_documented_field(name: str, kind: str) -> None:
    """The schema of a job decides, not the look of a cell."""
    assert column(name).kind == kind


def test_a_list_takes_numbers_for_names() -> None:
    """Anything else after a list names no field."""
    with pytest.raises(Misnamed):
        column("profile.authenticatedData.lp_sdes.first.type")


@pytest.mark.parametrize(
    ("name", "start", "form"),
    [
        ("jobs.csv", b"[", "csv"),
        ("jobs.jsonl", b"not json", "jsonl"),
        ("jobs.json", BOM + b" \n[", "json"),
        ("jobs.json", b"{", "jsonl"),
        ("-", b'{"jobId"', "jsonl"),
        ("-", b"[{", "json"),
        ("-", b"jobId,consumerId", "csv"),
        ("-", b"", "jsonl"),
    ],
)
def test_the_format_is_told_from_name_and_start(name: str, start: bytes, form: str) -> None:
    """So that --format is rarely needed."""
    assert guess_format(name, start) == form


TEXT = "jobId,consumerId\na,c\n"
JSON_LINE = '{"jobId":"a","consumerId":"c"}'


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", r"Excel workbook \(.xlsx\).*CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", r"Excel workbook \(.xls\).*CSV UTF-8"),
        (gzip.compress(TEXT.encode(), mtime=0), "gzip.*gunzip"),
        (bz2.compress(TEXT.encode()), "bzip2.*bunzip2"),
        (lzma.compress(TEXT.encode()), "xz.*xz -dc"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd.*zstd -dc"),
        (b"PAR1\x15\x04", "Parquet.*JSON Lines or CSV"),
        (b"SQLite format 3\0", "SQLite"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<?xml version='1.0'?>\n<Workbook>", "XML or HTML"),
        (BOM + b" <html><table>", "XML or HTML"),
        (b'{\n  "jobId": "a"', "object over several lines.*one job a line"),
        (BOM + b'{ \r\n"jobs": [', "object over several lines"),
        (b"\0" * 100, "binary"),
        (b"\x7fELF\x02\x01\x01\xff\xfe", "binary"),
        (b"a" * 257 + b"ustar\x00", "tar"),
        *(
            (mark + text.encode(code), f"{name}.*save it as UTF-8")
            for text in (TEXT, JSON_LINE, f"[{JSON_LINE}]", "{")
            for mark, code, name in (
                (b"\xff\xfe", "utf-16-le", "UTF-16"),
                (b"\xfe\xff", "utf-16-be", "UTF-16"),
                (b"", "utf-16-le", "UTF-16"),
                (b"", "utf-16-be", "UTF-16"),
                (b"\xff\xfe\0\0", "utf-32-le", "UTF-32"),
                (b"\0\0\xfe\xff", "utf-32-be", "UTF-32"),
                (b"", "utf-32-le", "UTF-32"),
                (b"", "utf-32-be", "UTF-32"),
            )
        ),
    ],
)
def test_a_file_that_is_no_text_is_said_to_be(start: bytes, what: str) -> None:
    """In one sentence, with what to do; not in a thousand lines about its lines."""
    sentence = foreign_kind(start)
    assert sentence is not None
    assert re.search(what, sentence)
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "start",
    [
        TEXT.encode(),
        BOM + TEXT.encode(),
        JSON_LINE.encode(),
        b"[",
        b"\n\n",
        b"consumerId\nZ\xfcrich\n",
        "consumerId\n消費者".encode()[:-1],
        b"jobId,consumerId\na,c\0\n",
        b"ORCHARD.jobId",
        b"PKconsumerId",
    ],
)
def test_what_may_be_jobs_is_read(start: bytes) -> None:
    """Single rows may be faulty; they are reported one by one."""
    assert foreign_kind(start) is None


@given(st.binary(max_size=600))
def test_whatever_a_file_begins_with_is_told(start: bytes) -> None:
    """A sentence or nothing, and never an error."""
    sentence = foreign_kind(start)
    assert sentence is None or sentence.startswith(("is ", "holds "))


@pytest.mark.parametrize("text", [TEXT, f"{JSON_LINE}\n", f"[{JSON_LINE}]\n"])
def test_lines_may_end_in_a_carriage_return(tmp_path: Path, text: str) -> None:
    """As Excel writes them for a Mac; read twice as well."""
    file = tmp_path / "jobs"
    file.write_bytes(BOM + text.replace("\n", "\r").encode())
    with open_source(str(file), FileOptions(twice=True)) as source:
        for _ in range(2):
            entries = list(source.entries(max_bytes=MAX_BYTES, skip=0))
            assert [entry.document for entry in entries] == [JOB]
            assert source.position() == source.size
            source.rewind()
