"""What is shown: rows, records, URLs; and never a password."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from config.urls import public_url, without_passwords
from console.admin.overview import Overview
from console.admin.records import Record
from console.commands.dead_letters import COLUMNS as DEAD_LETTER_COLUMNS
from console.commands.results import COLUMNS
from console.tables import Column, Rows, at, console, describe, show_overview
from tasks.messages.fields.examples import EXAMPLES


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://guest:secret@host:5672/v", "amqp://guest@host:5672/v"),
        ("redis://:secret@host:6379/0?password=secret", "redis://host:6379/0"),
        ("amqp://a:secret@one//;amqp://a:secret@two//", "amqp://a@one//;amqp://a@two//"),
        ("unix:///var/run/redis.sock", "unix:///var/run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    """Wherever it stands in it."""
    assert public_url(url) == shown
    assert "secret" not in without_passwords(f"cannot connect to {url.partition('?')[0]}", url)


def test_a_csv_row_has_a_cell_for_each_column() -> None:
    """Objects are JSON in it, and what is not there is empty."""
    rows = Rows("csv", COLUMNS)
    result = EXAMPLES["result"][0]
    header, line = list(csv.reader(io.StringIO(f"{rows.header}\n{rows.line(result)}\n")))
    row = dict(zip(header, line, strict=True))
    assert row["jobId"] == result["jobId"]
    assert row["resolvedBy"] == ""
    assert row["campaignId"] == "99999"
    assert row["metadata"] == '{"orderId":4711}'


@pytest.mark.parametrize(
    "cell",
    [
        "=cmd|' /C calc'!A0",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        "\n=1",
        "\u00a0=1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
        "\x1b[2J\x00\x7f\x9b31m",
        "\x00=1",
    ],
)
def test_a_csv_cell_is_no_formula_and_steers_no_terminal(cell: str) -> None:
    """What a producer wrote is opened in a spreadsheet by somebody else."""
    rows = Rows("csv", (Column("x", at("x")), Column("y", at("y"))))
    ((shown, number),) = csv.reader(io.StringIO(rows.line({"x": cell, "y": -1}), newline=""))
    assert shown.lstrip()[:1] not in {*"=+-@\uff1d\uff0b\uff0d\uff20"}
    assert shown[0] not in "\t\r"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert number == "-1"


@pytest.mark.parametrize("cell", ["a=b", "ü, “x”\nline\ttwo", "消費者", "1-2", "'x"])
def test_any_other_csv_cell_stays_as_it_is(cell: str) -> None:
    """Lines, tabs and quotes within it too."""
    rows = Rows("csv", (Column("x", at("x")),))
    assert list(csv.reader(io.StringIO(rows.line({"x": cell}), newline=""))) == [[cell]]


def test_a_json_line_steers_no_terminal_and_means_the_same() -> None:
    """JSON allows some control characters in a text as they stand."""
    document = {"x": "\x1b\x7f\x9b31m\u202e\u2028 ü\U0001f600"}
    line = Rows("jsonl", ()).line(document)
    assert json.loads(line) == document
    assert all(one.isprintable() for one in line)


def test_every_field_of_a_result_is_in_its_csv() -> None:
    """So that nothing is lost on the way into a spreadsheet."""
    written = {column.name for column in COLUMNS}
    fields = {name for result in EXAMPLES["result"] for name in result} - {"campaignInfo"}
    assert fields - written == set()


def test_a_table_cannot_steer_the_terminal() -> None:
    """Control characters of a producer are shown as question marks, and ids are never cut."""
    rows = Rows("table", (Column("id", at("id"), width=4), Column("x", at("x"), width=1)))
    assert rows.header == "ID    X"
    assert rows.line({"id": "123456", "x": "a\x1b[31m\nb"}) == "123456  a?[31m?b"
    assert rows.line({"id": None}) == "-     -"
    assert rows.line({"id": "1\u00a0000\u3000", "x": "\u202e\u200b\x9b"}) == "1\u00a0000\u3000  ???"


def test_a_dead_letter_has_a_table_row() -> None:
    """Whether it holds a job or not."""
    rows = Rows("table", DEAD_LETTER_COLUMNS)
    lines = [rows.line({**letter, "id": "the-id"}) for letter in EXAMPLES["dead-letter"]]
    assert [line.split()[:3] for line in lines] == [
        ["the-id", "12345678", "rejected"],
        ["the-id", "-", "malformed_message"],
    ]


def record(**changes: Any) -> Record:
    """Make a record of a job that a worker has seen."""
    fields: dict[str, Any] = {
        "account_id": "1",
        "job_id": "j",
        "state": "waiting",
        "seen_at": "2026-01-31T09:00:00.000Z",
        "owner": None,
        "sending_since": None,
        "sent": 1,
        "is_cancelled": False,
        "next_attempt_at": None,
        "waits_for": None,
        "attempts": (),
        "outcome": None,
    }
    return Record(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "first seen by a worker"),
        (
            {"attempts": ({"at": "T", "httpStatus": 502, "outcome": "unknown"},)},
            "T  attempt: HTTP 502, unknown",
        ),
        (
            {"attempts": ({"at": "T", "httpStatus": None, "outcome": "unknown"},)},
            "T  attempt: no answer, unknown",
        ),
        (
            {"attempts": ({"at": "T", "httpStatus": None, "outcome": "replayed"},)},
            "T  replayed by an operator",
        ),
        (
            {"attempts": ({"at": "T", "httpStatus": 502, "outcome": "unknown", "cause": "C"},)},
            "T  attempt: HTTP 502, unknown: C",
        ),
        (
            {"waits_for": "notBefore", "next_attempt_at": "T"},
            "T  next attempt: waits for its time (notBefore)",
        ),
        ({"waits_for": "new", "next_attempt_at": "T"}, "T  next attempt: waits for new"),
        ({"sending_since": "T", "owner": "w/1"}, "T  sent, no answer yet (w/1)"),
        ({"is_cancelled": True}, "cancelled: takes effect at its next turn"),
        (
            {"outcome": EXAMPLES["result"][1]},
            "reused: conversation cbf6e739-dfe6-4e3c-a544-2504afbe8747 after 1 request, found",
        ),
        ({"outcome": EXAMPLES["dead-letter"][0]}, "failed as rejected: HTTP 400: Bad"),
    ],
)
def test_a_jobs_story_tells_what_happened(changes: dict[str, Any], line: str) -> None:
    """A line each, with its time."""
    assert line in "\n".join(describe(record(**changes)))


def test_what_keeps_a_worker_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Below the workers; what the broker said of it steers no terminal."""
    overview = Overview(
        at="T",
        queues=[],
        delayed=0,
        accounts=[],
        workers=["7-a", "8-b"],
        troubles={"8-b": "memory alarm\x1b[31m [red]"},
        pauses=[],
    )
    console().print(show_overview(overview))
    *_, workers, trouble = capsys.readouterr().out.splitlines()
    assert workers.rstrip() == "workers: 2  7-a 8-b"
    assert trouble.rstrip() == "worker 8-b is held up: memory alarm?[31m [red]"
    assert overview.to_dict()["troubles"] == overview.troubles
