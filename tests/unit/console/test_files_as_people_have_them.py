"""Files as people have them: workbooks, gzip, UTF-16, other columns, dates of spreadsheets."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from console.jobfiles import layers, xlsx_marks, xlsx_rows
from console.jobfiles.dates import OddDate, as_moment
from console.jobfiles.job_file import Entry, UnreadableFile
from console.jobfiles.naming import InvalidNaming, Naming, read_naming
from console.jobfiles.source import FileOptions, open_source
from tests.memory_servers import MemoryServers, memory_servers

MAX_BYTES = 20_000
HEAD = ("jobId", "consumerId", "priority", "notBefore", "metadata")
BERLIN = Naming(zone="Europe/Berlin")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServers]:
    with memory_servers(monkeypatch) as found:
        yield found


def read(path: str, how: FileOptions | None = None) -> list[Entry]:
    """Read a file, twice, the same both times."""
    with open_source(path, how or FileOptions(twice=True)) as source:
        first = list(source.entries(max_bytes=MAX_BYTES, skip=0))
        source.rewind()
        assert list(source.entries(max_bytes=MAX_BYTES, skip=0)) == first
        return first


def documents(path: str, how: FileOptions | None = None) -> list[object]:
    found = read(path, how)
    assert [entry.fault for entry in found] == [None] * len(found)
    return [entry.document for entry in found]


def fault(path: str, how: FileOptions | None = None) -> str:
    (entry,) = read(path, how)
    assert entry.fault is not None
    return entry.fault


def workbook(
    *rows: Sequence[object],
    formats: dict[str, str] | None = None,
    merged: Sequence[str] = (),
) -> str:
    """Save a workbook whose sheet has these rows; returns its name."""
    book = Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(list(row))
    for place, shown_as in (formats or {}).items():
        book.active[place].number_format = shown_as
    for reference in merged:
        book.active.merge_cells(reference)
    book.save("jobs.xlsx")
    return "jobs.xlsx"


class TestWorkbooks:
    """An .xlsx file is read as if its sheet had been saved as CSV, but for what CSV would lose."""

    def test_cells_become_what_their_fields_are_made_of(self) -> None:
        """Numbers where text belongs are text, and dates have the zone that is said."""
        name = workbook(
            (*HEAD, "conversation.skillId", "profile.firstName", None),
            (
                "a",
                "c-1",
                5,
                datetime(2026, 1, 31, 9, 30),  # noqa: DTZ001 - as openpyxl wants it
                '{"n": 1}',
                4711.0,
                "Zoë",
            ),
            (17, 4915112345678, 0, date(2026, 7, 1), None, None, True),
            (),
            ("b", "c-2", None, "2026-01-31T09:30:00Z", None, "0042", 1.5),
        )
        assert documents(name, FileOptions(naming=BERLIN, twice=True)) == [
            {
                "jobId": "a",
                "consumerId": "c-1",
                "priority": 5,
                "notBefore": "2026-01-31T09:30:00+01:00",
                "metadata": {"n": 1},
                "conversation": {"skillId": "4711"},
                "profile": {"firstName": "Zoë"},
            },
            {
                "jobId": "17",
                "consumerId": "4915112345678",
                "priority": 0,
                "notBefore": "2026-07-01T00:00:00+02:00",
                "profile": {"firstName": "true"},
            },
            {
                "jobId": "b",
                "consumerId": "c-2",
                "notBefore": "2026-01-31T09:30:00Z",
                "conversation": {"skillId": "0042"},
                "profile": {"firstName": "1.5"},
            },
        ]

    def test_rows_have_the_numbers_that_excel_shows(self) -> None:
        """Also behind blank rows before the names."""
        name = workbook((), ("consumerId",), ("a",), (), ("b",))
        assert [entry.number for entry in read(name)] == [3, 5]

    def test_a_number_with_a_format_of_zeros_keeps_them(self) -> None:
        """It is what people see."""
        name = workbook(("consumerId",), (42,), formats={"A2": "000000"})
        assert documents(name) == [{"consumerId": "000042"}]

    @pytest.mark.parametrize("value", [1.23e15, 4915112345678901, "1.23E+11", 1e300])
    def test_an_id_that_excel_has_rounded_is_refused(self, value: object) -> None:
        """By name, with what to do."""
        said = fault(workbook(("consumerId",), (value,)))
        assert said.startswith("consumerId: is a number")
        assert "1.23E+11" in said
        assert "as text in Excel" in said

    def test_an_error_of_the_sheet_is_no_value(self) -> None:
        """Nor is a number that is to be a date and is none."""
        assert "error of a spreadsheet" in fault(workbook(("consumerId",), ("#N/A",)))
        assert "is a number that is no date" in fault(
            workbook(("consumerId", "notBefore"), ("c", -5e9))
        )

    def test_a_number_in_place_of_a_date_is_excels_own(self) -> None:
        """Days since 1900, as a cell without a format of dates has them."""
        name = workbook(("consumerId", "notBefore"), ("c", 46053.375))
        (found,) = documents(name, FileOptions(naming=BERLIN, twice=True))
        assert found == {"consumerId": "c", "notBefore": "2026-01-31T09:00:00+01:00"}

    def test_a_cell_beside_the_columns_is_a_fault(self) -> None:
        """Nobody knows what it is meant for."""
        assert "2 cells; there are 1 columns" in fault(workbook(("consumerId",), ("a", "b")))

    def test_the_sheet_is_the_first_that_is_seen(self) -> None:
        """Or the one that is named."""
        book = Workbook()
        assert book.active is not None
        book.active.sheet_state = "hidden"
        for title in ("Seen", "Other"):
            sheet = book.create_sheet(title)
            sheet.append(["consumerId"])
            sheet.append([title])
        book.save("jobs.xlsx")
        assert documents("jobs.xlsx") == [{"consumerId": "Seen"}]
        assert documents("jobs.xlsx", FileOptions(sheet="Other", twice=True)) == [
            {"consumerId": "Other"}
        ]
        with pytest.raises(UnreadableFile, match="no sheet 'x'; it has Sheet, Seen, Other"):
            read("jobs.xlsx", FileOptions(sheet="x", twice=True))

    @pytest.mark.parametrize("rows", [[], [()], [("", None)]])
    def test_an_empty_sheet_is_said_to_be(self, rows: list[Sequence[object]]) -> None:
        """It has no names."""
        with pytest.raises(UnreadableFile, match="no first row with the names"):
            read(workbook(*rows))

    def test_an_unknown_column_is_refused_before_the_first_row(self) -> None:
        """With the nearest known name."""
        with pytest.raises(UnreadableFile, match=r"'consumerID' names no field.*consumerId"):
            read(workbook(("consumerID",), ("a",)))

    def test_what_merged_cells_show_is_not_left_out_in_silence(self) -> None:
        """Each row that shows what is only in the first of them; empty rows are still no rows."""
        name = workbook(
            ("consumerId", "conversation.skillId", None),
            ("a", 17, None),
            ("b", None, None),
            ("c", 18, None),
            (None, None, None),
            merged=("B2:B3", "A5:B9", "B4:C4"),
        )
        found = read(name)
        assert [entry.fault and entry.fault.partition(";")[0] for entry in found] == [
            None,
            "conversation.skillId: is merged with another cell",
            None,
        ]

    def test_a_formula_that_nobody_calculated_is_not_left_out_in_silence(self) -> None:
        """As programs write them, openpyxl for one."""
        name = workbook(
            ("consumerId", "conversation.skillId", "reason"),
            ("a", 17, "=1+1"),
            ("b", "=10+7", None),
            ("=A3", None, None),
        )
        assert [entry.fault for entry in read(name)] == [
            None,
            f"conversation.skillId: {xlsx_marks.FORMULA}",
            f"consumerId: {xlsx_marks.FORMULA}",
        ]

    @pytest.mark.parametrize(
        ("cell", "on_opening", "fault"),
        [
            ('<c r="B2"><f>6*7</f><v>42</v></c>', "1", None),
            ("<c><f>6*7</f><v>42</v></c>", "0", None),
            ('<c r="B2" t="str"><f>""</f><v></v></c>', "0", None),
            ('<c r="B2"><f>1-1</f><v>0</v></c>', "0", None),
            ('<c r="B2"><f>A1</f><v>0</v></c>', "1", xlsx_marks.FORMULA),
            ('<c r="B2"><f>A1</f><v/></c>', "0", xlsx_marks.FORMULA),
            ('<c><f t="shared" si="0"/></c>', "0", xlsx_marks.FORMULA),
        ],
    )
    def test_a_formula_has_the_value_that_a_spreadsheet_saved(
        self, cell: str, on_opening: str, fault: str | None
    ) -> None:
        """XlsxWriter saves 0, and asks for the value to be worked out on opening."""
        with zipfile.ZipFile(workbook(("consumerId",), ("a",))) as book:
            kept = book.read("xl/workbook.xml").decode()
        sheet = (
            '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
            '<sheetData><row r="1"><c t="inlineStr"><is><t>consumerId</t></is></c>'
            '<c t="inlineStr"><is><t>conversation.skillId</t></is></c></row>'
            f'<row r="2"><c r="A2" t="inlineStr"><is><t>a</t></is></c>{cell}</row>'
            "</sheetData></worksheet>"
        )
        asks = kept.replace('fullCalcOnLoad="1"', f'fullCalcOnLoad="{on_opening}"')
        (found,) = read(archive({SHEET: sheet.encode(), "xl/workbook.xml": asks.encode()}))
        assert found.fault == (fault and f"conversation.skillId: {fault}")

    def test_it_is_read_from_a_pipe(
        self, servers: MemoryServers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By way of the disk."""
        reading = io.BufferedReader(NoSeek(Path(workbook(("consumerId",), ("a",))).read_bytes()))
        monkeypatch.setattr("console.jobfiles.source._stdin", lambda: reading)
        assert servers.run("submit", "-").exit_code == 0
        assert [job["consumerId"] for job in servers.waiting()] == ["a"]


class NoSeek(io.RawIOBase):
    """What comes from a pipe."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._data.readinto(buffer)


def archive(parts: dict[str, bytes]) -> str:
    """Replace parts of a good workbook."""
    name = workbook(("consumerId",), ("a",))
    with zipfile.ZipFile(name) as book:
        kept = {one: book.read(one) for one in book.namelist()}
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as book:
        for one, data in {**kept, **parts}.items():
            book.writestr(one, data)
    return name


SHEET = "xl/worksheets/sheet1.xml"
TEXTS = "xl/sharedStrings.xml"
HEADED = (
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    b'<row r="1"><c r="A1" t="inlineStr"><is><t>consumerId</t></is></c></row></sheetData>%s'
    b"</worksheet>"
)


class TestHostileWorkbooks:
    """What is made to fill a memory is refused before it is held there."""

    @pytest.mark.parametrize(
        ("part", "data", "said"),
        [
            (TEXTS, b"<sst>" + b"<si><t>x</t></si>" * 100_000 + b"</sst>", "has more than 1 MiB"),
            (TEXTS, b"<sst><si><t>" + b"x" * 300_000 + b"</t></si></sst>", "larger than any"),
            (SHEET, b"<worksheet><sheetData><row>" + b"<c/>" * 300_000, "larger than any"),
            (SHEET, b"<worksheet>" + b" " * 400_000 + b"</worksheet>", "larger than any"),
            ("xl/styles.xml", b"<a/>" * 300_000, "has more than 1 MiB"),
            ("xl/other.bin", b"<a/>" * 300_000, "has more than 1 MiB"),
            (TEXTS, b'<!DOCTYPE sst [<!ENTITY a "b">]><sst/>', "declares entities"),
            (SHEET, b"<worksheet><sheetData><row", "cannot be read"),
            ("xl/workbook.xml", b"nonsense", "cannot be read"),
            (SHEET, HEADED % (b'<mergeCell ref="A1:A1048576"/>' * 3), "again and again"),
            (SHEET, HEADED % b'<mergeCell ref="A1:ZZZ9"/>', "a cell that no sheet has"),
            (SHEET, HEADED % b'<mergeCell ref="A1:A9999999"/>', "beyond the last one"),
            (SHEET, HEADED % b"<mergeCell", "cannot be read"),
        ],
    )
    def test_it_is_refused_in_one_sentence(
        self, monkeypatch: pytest.MonkeyPatch, part: str, data: bytes, said: str
    ) -> None:
        """Whatever the archive says of its size."""
        for name in ("TEXT", "SHEET", "OTHER"):
            monkeypatch.setattr(xlsx_rows, f"MAX_{name}_BYTES", 2**20)
        monkeypatch.setattr(xlsx_rows, "MAX_ROW_BYTES", 200_000)
        monkeypatch.setattr(xlsx_rows, "MAX_PIECE_BYTES", 200_000)
        monkeypatch.setattr(xlsx_rows, "CHUNK_BYTES", 10_000)
        with pytest.raises(UnreadableFile, match=said) as caught:
            read(archive({part: data}))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("cell", ["XFD1048576", "ZZZZZZ1", "A99999999", "A0"])
    def test_a_cell_far_away_costs_nothing(self, cell: str) -> None:
        """Neither rows nor columns are made up to reach it."""
        number = int("".join(filter(str.isdigit, cell)))
        sheet = (
            '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
            '<dimension ref="A1:XFD1048576"/><sheetData>'
            '<row r="1"><c r="A1" t="inlineStr"><is><t>consumerId</t></is></c></row>'
            f'<row r="{number}"><c r="{cell}" t="inlineStr"><is><t>x</t></is></c></row>'
            "</sheetData></worksheet>"
        )
        with open_source(archive({SHEET: sheet.encode()}), FileOptions()) as source:
            entries = []
            with suppress(UnreadableFile):
                entries = list(source.entries(max_bytes=MAX_BYTES, skip=0))
        assert len(entries) <= 1

    def test_another_archive_is_no_workbook(self) -> None:
        """It is said to be one."""
        with zipfile.ZipFile("jobs.zip", "w") as other:
            other.writestr("jobs.csv", "consumerId\na\n")
        with pytest.raises(UnreadableFile, match="another ZIP archive"):
            read("jobs.zip")


JSON_LINES = '{"consumerId":"a"}\n{"consumerId":"Zoë"}\n'
CSV = "consumerId\na\nZoë\n"
BOTH = [{"consumerId": "a"}, {"consumerId": "Zoë"}]


class TestLayers:
    """What lies between a file and its text."""

    @pytest.mark.parametrize("text", [JSON_LINES, CSV, CSV.replace("\n", "\r")])
    @pytest.mark.parametrize(
        "encode",
        [
            lambda text: gzip.compress(text.encode()),
            lambda text: gzip.compress(text.encode("utf-16")),
            lambda text: text.encode("utf-16"),
            lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
            lambda text: text.encode("utf-16-le"),
            lambda text: text.encode("utf-16-be"),
        ],
    )
    def test_it_is_read_through_them(self, text: str, encode: Callable[[str], bytes]) -> None:
        """Whatever the file is called."""
        Path("jobs").write_bytes(encode(text))
        assert documents("jobs") == BOTH

    def test_the_name_says_what_is_packed(self) -> None:
        """As that of a plain file does."""
        Path("jobs.csv.gz").write_bytes(gzip.compress(CSV.encode()))
        assert documents("jobs.csv.gz") == BOTH

    @pytest.mark.parametrize("cut", [-4, -20])
    def test_a_packed_file_that_is_cut_off_is_said_to_be(self, cut: int) -> None:
        """What came before is good."""
        lines = "".join(f"consumer-{number}\n" for number in range(5000))
        Path("jobs.csv.gz").write_bytes(gzip.compress(f"consumerId\n{lines}".encode())[:cut])
        with open_source("jobs.csv.gz", FileOptions()) as source:
            entries = source.entries(max_bytes=MAX_BYTES, skip=0)
            assert next(entries).document == {"consumerId": "consumer-0"}
            with pytest.raises(UnreadableFile, match="damaged or cut off"):
                list(entries)

    def test_what_is_no_gzip_is_said_to_be_damaged(self) -> None:
        """In one sentence."""
        Path("jobs.gz").write_bytes(b"\x1f\x8bnonsense")
        with pytest.raises(UnreadableFile, match="is compressed with gzip, and damaged"):
            read("jobs.gz")

    def test_what_grows_without_end_is_not_read_to_its_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A few kilobytes that are made to be gigabytes."""
        monkeypatch.setattr(layers, "SURE_BYTES", 2**20)
        Path("jobs.csv.gz").write_bytes(gzip.compress(b"consumerId\n" + b"a" * 2**24))
        with (
            open_source("jobs.csv.gz", FileOptions()) as source,
            pytest.raises(UnreadableFile, match="grows more than 300 times"),
        ):
            list(source.entries(max_bytes=MAX_BYTES, skip=0))

    def test_half_a_character_is_a_fault_of_its_row(self) -> None:
        """Also one at the end of the file."""
        Path("jobs.csv").write_bytes(
            "consumerId\na\n".encode("utf-16") + b"\x00\xd8" + "\nb\n".encode("utf-16-le") + b"x"
        )
        found = read("jobs.csv")
        assert [entry.document for entry in found][::2] == [
            {"consumerId": "a"},
            {"consumerId": "b"},
        ]
        assert "is not UTF-8" in str(found[1].fault)


class TestDates:
    """A date without an offset needs a zone, one with slashes an order; nothing is guessed."""

    @pytest.mark.parametrize(
        ("cell", "moment"),
        [
            ("2026-01-31 09:30", "2026-01-31T09:30:00+01:00"),
            ("2026-07-31T09:30:15", "2026-07-31T09:30:15+02:00"),
            ("2026-1-31", "2026-01-31T00:00:00+01:00"),
            ("31.1.2026 9:30", "2026-01-31T09:30:00+01:00"),
            ("31.01.2026, 09:30:15", "2026-01-31T09:30:15+01:00"),
            ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00Z"),
            ("tomorrow", "tomorrow"),
        ],
    )
    def test_what_spreadsheets_write_is_read(self, cell: str, moment: str) -> None:
        """With the zone's offset on that day."""
        assert as_moment(cell, BERLIN) == moment

    @pytest.mark.parametrize(
        ("cell", "order", "moment"),
        [
            ("1/2/2026 9:30 PM", "month first", "2026-01-02T21:30:00+00:00"),
            ("1/2/2026 12:05 am", "day first", "2026-02-01T00:05:00+00:00"),
            ("1/2/26", "day first", "2026-02-01T00:00:00+00:00"),
        ],
    )
    def test_slashes_need_an_order(self, cell: str, order: Any, moment: str) -> None:
        """Half of the world has the month first."""
        assert as_moment(cell, Naming(zone="UTC", dates=order)) == moment
        with pytest.raises(OddDate, match="may be the day or the month"):
            as_moment(cell, Naming(zone="UTC"))

    @pytest.mark.parametrize(
        "cell", ["2026-02-30", "31.13.2026", "2026-01-31 25:00", "1.1.2026 0:30 am"]
    )
    def test_a_day_that_does_not_exist_is_refused(self, cell: str) -> None:
        """It is not moved to another one."""
        with pytest.raises(OddDate, match="no calendar has"):
            as_moment(cell, BERLIN)

    def test_without_a_zone_it_is_refused(self, servers: MemoryServers) -> None:
        """With how to name one; no machine's own is taken."""
        Path("jobs.csv").write_text("consumerId,notBefore\nc,2026-01-31 09:30\n")
        result = servers.run("submit", "jobs.csv", "--dry-run")
        assert result.exit_code == 1
        assert "notBefore: is a date without a time zone; name one with --zone" in result.stderr
        result = servers.run("submit", "jobs.csv", "--zone", "Europe/Berlin")
        assert [job["notBefore"] for job in servers.waiting()] == ["2026-01-31T09:30:00+01:00"]
        assert result.exit_code == 0
        assert "no time zone" in servers.run("submit", "jobs.csv", "--zone", "Atlantis").stderr


MAPPING = """\
zone = "Europe/Berlin"

[columns]
"Customer no." = "consumerId"
"Start" = "notBefore"
"Internal note" = ""

[defaults]
"conversation.skillId" = 4711
"metadata" = {campaign = "spring"}
"""


class TestMappings:
    """A TOML file says which field each column holds."""

    def test_columns_may_have_other_names(self, servers: MemoryServers) -> None:
        """What a row leaves empty has the default; the report has the columns as they were."""
        Path("map.toml").write_text(MAPPING)
        Path("jobs.csv").write_text(
            "Customer no.;Start;Internal note;conversation.skillId;priority\n"
            "c-1;31.1.2026 9:00;call twice;;\nc-2;;;12;3\n"
        )
        output = servers.run("submit", "jobs.csv", "--map", "map.toml", "--name", "spring").stdout
        assert output.startswith("submitted 2 jobs")
        first, second = servers.waiting()
        assert first["notBefore"] == "2026-01-31T09:00:00+01:00"
        assert (first["conversation"], first["metadata"]) == (
            {"skillId": "4711"},
            {"campaign": "spring"},
        )
        assert (second["conversation"], second["priority"]) == ({"skillId": "12"}, 3)
        servers.work()
        Path("map.toml").unlink()
        report = servers.run("submissions", "report", "spring", "--format", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(report.removeprefix("\ufeff")), delimiter=";"))
        assert [(row["Customer no."], row["Internal note"], row["outcome"]) for row in rows] == [
            ("c-1", "call twice", "created"),
            ("c-2", "", "created"),
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[column]", "did you mean columns"),
            ("nonsense = 1", "a mapping has zone, dates, columns, defaults"),
            ("x", "is not TOML"),
            ("columns = 1", "columns is a table"),
            ("[columns]\na = 1", "columns.a: takes the path of a field"),
            ('zone = "Atlantis"', "is no time zone"),
            ("zone = 1", "is no time zone"),
            ('dates = "x"', 'dates is "day first" or "month first"'),
        ],
    )
    def test_what_is_wrong_with_it_is_said(self, text: str, said: str) -> None:
        """In one sentence."""
        Path("map.toml").write_text(text)
        with pytest.raises(InvalidNaming, match=said):
            read_naming(Path("map.toml"))

    @pytest.mark.parametrize(
        ("mapping", "said"),
        [
            ('[columns]\nA = "consumerID"', "'consumerID' names no field of a job.*consumerId"),
            ('[columns]\nMissing = "consumerId"', "no column 'Missing', which the --map names"),
            ('[columns]\nA = "jobId"', "hold the same field"),
            ('[columns]\nA = ""\n[defaults]\n"skill" = "1"', "'skill' names no field"),
        ],
    )
    def test_what_does_not_fit_the_file_is_said(self, mapping: str, said: str) -> None:
        """Before its first row is read."""
        Path("map.toml").write_text(mapping)
        Path("jobs.csv").write_text("A,jobId\n1,2\n")
        naming = read_naming(Path("map.toml"))
        with pytest.raises(UnreadableFile, match=said):
            read("jobs.csv", FileOptions(naming=naming, twice=True))

    def test_json_has_no_columns(self, servers: MemoryServers) -> None:
        """Nor has a CSV file sheets."""
        Path("jobs.jsonl").write_text(JSON_LINES)
        result = servers.run("submit", "jobs.jsonl", "--zone", "UTC")
        assert (result.exit_code, "this file is JSON" in result.stderr) == (1, True)
        result = servers.run("submit", "jobs.jsonl", "--sheet", "x")
        assert (result.exit_code, "for workbooks" in result.stderr) == (1, True)

    def test_a_template_can_be_filled_in(self, servers: MemoryServers) -> None:
        """Each of its columns is a field; a mapping has its own."""
        head = servers.run("submit", "--template").stdout
        Path("jobs.csv").write_text(f"{head}{'a,c,,,,,,,,,'}\n")
        assert documents("jobs.csv") == [{"jobId": "a", "consumerId": "c"}]
        Path("map.toml").write_text(MAPPING)
        head = servers.run("submit", "--template", "--map", "map.toml").stdout
        assert head == "Customer no.,Start,Internal note\n"


class TestRejectedRows:
    """They come back in a file like the one they were in, with the reason beside them."""

    @pytest.mark.parametrize("form", ["csv", "xlsx"])
    def test_they_can_be_corrected_and_submitted(self, servers: MemoryServers, form: str) -> None:
        """As they are: nothing is added to a cell, and the reason is no field."""
        formula = "=1+1" if form == "csv" else "1+1"
        rows = [
            ("consumerId", "priority", "profile.firstName"),
            ("+49", "x", formula),
            ("c", 1, ""),
        ]
        if form == "xlsx":
            name = workbook(*rows)
        else:
            name = "jobs.csv"
            text = "\n".join(";".join(map(str, row)) for row in rows)
            Path(name).write_text(text)
        result = servers.run("submit", name)
        kept = Path(f"{name}.rejected.csv")
        assert result.stderr.splitlines()[-1].endswith(
            f"with the reasons in {name}.rejected.jsonl; correct them in {kept}, and submit that"
        )
        head, row = kept.read_text(encoding="utf-8").splitlines()
        comma = "," if form == "xlsx" else ";"
        assert head == f"\ufeff{comma.join(map(str, rows[0]))}{comma}reason"
        assert row.startswith(comma.join(map(str, rows[1])))
        assert json.loads(Path(f"{name}.rejected.jsonl").read_text())["reason"] in row
        kept.write_text(
            kept.read_text(encoding="utf-8").replace(f"{comma}x{comma}", f"{comma}7{comma}")
        )
        servers.work()
        assert servers.run("submit", str(kept)).exit_code == 0
        (job,) = servers.waiting()
        assert (job["consumerId"], job["priority"]) == ("+49", 7)
        assert job["profile"] == {"firstName": formula}
