"""`overture submissions`: what is shown, cancelled and reported of the jobs of one submissionId."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from console.admin.records import reopen
from tasks.store.answers import Defer, Wait
from tasks.store.connection import Keys, text
from tests.jobs import ACCOUNT, job_document, make_job
from tests.memory_reach import MemoryReach, memory_reach

CSV = """\
sep=;
consumerId;profile.firstName;metadata;;jobId
c-1;=1+1;"{""row"": 1}";;a
c-2;Zoë;;;b
;nobody;;;c
c-4;"two
lines";;;d
"""
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def within(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryReach]:
    with memory_reach(monkeypatch) as found:
        yield found


def submitted(within: MemoryReach, body: str = CSV, name: str = "jobs.csv") -> str:
    """Submit a file; returns the submission's name."""
    Path(name).write_bytes(body.encode())
    result = within.run("submit", name)
    return result.stdout.splitlines()[-1].split()[1].rstrip(";")


def shown(within: MemoryReach, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        within.run("submissions", "show", name, "--format", "json").stdout
    )
    return found


def read_csv(output: str, delimiter: str = ",") -> list[dict[str, str]]:
    assert output.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(output.removeprefix("\ufeff")), delimiter=delimiter))


def rows(within: MemoryReach, name: str, *options: str) -> list[dict[str, Any]]:
    output = within.run("submissions", "report", name, "--format", "jsonl", *options).stdout
    return [json.loads(line) for line in output.splitlines()]


def test_it_is_counted_while_it_runs(within: MemoryReach) -> None:
    """What is sent, what has ended in which way, and what waits."""
    name = submitted(within)
    expected = {"state": "running", "total": 3, "waiting": 3, "created": 0, "rejected": 1}
    assert shown(within, name).items() >= expected.items()
    within.work(most=2, c_2="already_open")
    found = shown(within, name)
    assert (found["waiting"], found["created"], found["failed"]) == (1, 1, 1)
    assert found["outcomes"] == {"created": 1, "failed:already_open": 1}
    within.work()
    assert shown(within, name)["state"] == "done"
    assert within.run("submissions", "show", name).stdout.splitlines() == [
        f"submission {name}: done",
        f"  begun     {found['begunAt']}",
        f"  file      {Path('jobs.csv').resolve()}",
        "  jobs      3",
        "  created   2",
        "  failed as already_open 1",
        "  rejected  1 entry",
    ]


def test_what_producers_label_counts_as_well(within: MemoryReach) -> None:
    """As far as workers have seen it."""
    for number in range(3):
        job = make_job(number, submissionId="theirs")
        within.begin(job)
        if number:
            document = job_document(number, submissionId="theirs")
            within.end(job, document, "rejected" if number == 2 else None)
    found = shown(within, "theirs")
    assert (found["total"], found["waiting"], found["file"]) == (3, 1, None)
    assert [(row["jobId"], row["outcome"], row["code"]) for row in rows(within, "theirs")] == [
        ("job-1", "created", None),
        ("job-2", "failed", "rejected"),
    ]


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_all_are_listed_the_latest_first(within: MemoryReach, form: str) -> None:
    """Those of files and those of producers."""
    within.begin(make_job(1, submissionId="theirs"))
    submitted(within, name="one.csv")
    output = within.run("submissions", "list", "--format", form).stdout
    assert output.index("one-") < output.index("theirs")
    if form == "json":
        assert [one["total"] for one in json.loads(output)] == [3, 1]


def test_nothing_is_known_of_it(within: MemoryReach) -> None:
    """It is said with what to do, by every command."""
    for command in ("show", "report"):
        result = within.run("submissions", command, "nonsense")
        assert result.exit_code == 1
        assert "submission nonsense is unknown" in result.stderr
    assert within.run("submissions", "list", "--format", "json").stdout.strip() == "[]"


def test_each_row_is_reported_once(within: MemoryReach) -> None:
    """In its order, with its columns and its outcome; formulas are harmless to spreadsheets."""
    name = submitted(within)
    within.work(most=2, c_2="already_open")
    output = within.run("submissions", "report", name, "--format", "csv").stdout
    found = read_csv(output, ";")
    assert [row["line"] for row in found] == ["3", "4", "5", "6"]
    assert [row["outcome"] for row in found] == ["created", "failed", "rejected", "waiting"]
    assert [row["code"] for row in found] == ["", "already_open", "", ""]
    assert [row["conversationId"] for row in found] == ["conversation-of-c-1", "", "", ""]
    assert found[0]["profile.firstName"] == "'=1+1"
    assert found[1]["profile.firstName"] == "Zoë"
    assert found[1]["reason"] == "it was already_open"
    assert found[2]["reason"].startswith("consumerId: is missing")
    assert found[3]["profile.firstName"] == "two\nlines"
    assert list(found[0]) == [
        *("line", "consumerId", "profile.firstName", "metadata", "jobId"),
        *("accountId", "outcome", "code", "conversationId", "reason", "attempts", "endedAt"),
    ]


def test_some_rows_alone(within: MemoryReach) -> None:
    """By outcome or by code."""
    name = submitted(within)
    within.work(c_2="already_open")
    assert [row["line"] for row in rows(within, name, "--only", "already_open")] == [4]
    both = rows(within, name, "--only", "rejected", "--only", "failed")
    assert [row["line"] for row in both] == [4, 5]


def test_documents_have_columns_too(within: MemoryReach) -> None:
    """The dotted paths of their fields, in the order in which they come."""
    jobs = [
        {"consumerId": "c-1", "profile": {"firstName": "A"}},
        {"consumerId": "c-2", "metadata": {"order": {"id": 7}}, "conversation": {"skillId": 1}},
        {"consumerId": "c-3", "clientProperties": {"features": ["AUTO_MESSAGES"]}},
    ]
    name = submitted(within, "\n".join([*map(json.dumps, jobs), "{"]), "jobs.jsonl")
    within.work()
    found = read_csv(within.run("submissions", "report", name, "--format", "csv").stdout)
    assert [row["outcome"] for row in found] == ["created"] * 3 + ["rejected"]
    assert list(found[0])[:7] == [
        *("line", "consumerId", "profile.firstName", "metadata.order.id", "conversation.skillId"),
        *("clientProperties.features", "text"),
    ]
    assert found[1]["metadata.order.id"] == "7"
    assert found[2]["clientProperties.features"] == '["AUTO_MESSAGES"]'
    first = rows(within, name)[0]
    assert first["input"] == {"consumerId": "c-1", "profile.firstName": "A"}


def test_a_replayed_job_is_reported_as_it_is_now(within: MemoryReach) -> None:
    """Once, also where no file says which jobs there are."""
    document = job_document(1, submissionId="theirs")
    job = make_job(1, submissionId="theirs")
    within.begin(job)
    letter = json.loads(within.end(job, document, "rejected").body)
    assert reopen(within.store, ACCOUNT, "job-1", letter=letter, seconds=3600)
    assert rows(within, "theirs") == []
    within.begin(job)
    within.end(job, document, None)
    assert [(row["jobId"], row["outcome"]) for row in rows(within, "theirs")] == [
        ("job-1", "created")
    ]
    assert shown(within, "theirs")["outcomes"] == {"created": 1}


def test_a_file_that_has_changed_is_not_taken_for_the_one_that_was_sent(
    within: MemoryReach,
) -> None:
    """The jobs are reported from the store, unless the file is named."""
    name = submitted(within)
    within.work()
    path = Path("jobs.csv")
    path.write_text(path.read_text() + "c-5;;;;e\n")
    result = within.run("submissions", "report", name, "--format", "jsonl")
    assert "is not the file that was submitted" in result.stderr
    assert [json.loads(line)["line"] for line in result.stdout.splitlines()] == [None] * 3
    assert len(rows(within, name, "--file", "jobs.csv")) == 5
    path.unlink()
    result = within.run("submissions", "report", name)
    assert "jobs.csv is not there: the report has only the jobs that have ended" in result.stderr
    assert len(result.stdout.splitlines()) == 4


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_needs_nothing_else_and_obeys_nobody(within: MemoryReach) -> None:
    """With a chart; what stands in a file is text there, whatever it is."""
    body = f"consumerId,jobId\nc-1,a\nc-2,{HOSTILE}\nc-3,c\n"
    name = submitted(within, body, "jobs.csv")
    within.work(c_2="rejected")
    within.run("submissions", "report", name, "--format", "html", "--output", "report.html")
    page = Page()
    page.feed(Path("report.html").read_text())
    assert not {"script", "link", "img"} & set(page.tags)
    assert page.links == []
    assert page.tags.count("rect") == 2
    assert HOSTILE in page.text
    assert "66.7 %" in page.text
    assert "it was rejected" in page.text


def test_a_cancelled_submission_ends_job_by_job(within: MemoryReach) -> None:
    """Whoever is not there to be asked has to say so beforehand."""
    name = submitted(within)
    within.work(most=1)
    refused = within.run("submissions", "cancel", name)
    assert refused.exit_code == 1
    assert "--yes" in refused.stderr
    result = within.run("submissions", "cancel", name, "--yes")
    assert result.stdout == (
        f"submission {name}: 2 jobs have no outcome yet; each is cancelled when it comes up\n"
    )
    assert shown(within, name)["state"] == "cancelled"
    within.work()
    assert shown(within, name)["outcomes"] == {"created": 1, "failed:cancelled": 2}


def test_what_nobody_knows_of_is_cancelled_when_it_comes(within: MemoryReach) -> None:
    """A producer's jobs that no worker has seen yet."""
    result = within.run("submissions", "cancel", "theirs", "--yes")
    assert "those that come are cancelled" in result.stdout
    assert text(within.store.hget(Keys(ACCOUNT).tally("theirs"), "cancelled"))
    assert shown(within, "theirs")["state"] == "cancelled"


def test_a_submission_is_paused_and_goes_on(within: MemoryReach) -> None:
    """Jobs that come meanwhile wait; what else is paused holds them as well."""
    name = submitted(within)
    result = within.run("submissions", "pause", name)
    assert re.fullmatch(
        f"submission {name} is paused since .* by .*: nothing more.*\n", result.stdout
    )
    assert shown(within, name)["state"] == "paused"
    assert (
        within.run("submissions", "show", name)
        .stdout.splitlines()[1]
        .startswith(f"  submission {name} is paused since ")
    )
    assert isinstance(within.begin(make_job(1, submissionId=name)), Wait | Defer)
    within.run("pause")
    assert within.run("submissions", "resume", name).stdout == f"submission {name} goes on\n"
    assert str(shown(within, name)["paused"]).startswith("everything is paused since")
    within.run("resume")
    assert shown(within, name)["state"] == "running"
    assert "was neither paused nor cancelled" in within.run("submissions", "resume", name).stdout


def test_a_cancellation_can_be_taken_back(within: MemoryReach) -> None:
    """What has ended by then has ended."""
    name = submitted(within)
    within.run("submissions", "cancel", name, "--yes")
    within.work(most=1)
    assert within.run("submissions", "resume", name).stdout == f"submission {name} goes on\n"
    within.work()
    assert shown(within, name)["outcomes"] == {"created": 2, "failed:cancelled": 1}
    assert within.store.ttl(Keys(ACCOUNT).tally(name)) > 0
