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
from tests.memory_servers import MemoryServers, memory_servers

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
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServers]:
    with memory_servers(monkeypatch) as found:
        yield found


def submitted(servers: MemoryServers, body: str = CSV, name: str = "jobs.csv") -> str:
    """Submit a file; returns the submission's name."""
    Path(name).write_bytes(body.encode())
    result = servers.run("submit", name)
    return result.stdout.splitlines()[-1].split()[1].rstrip(";")


def shown(servers: MemoryServers, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        servers.run("submissions", "show", name, "--format", "json").stdout
    )
    return found


def read_csv(output: str, delimiter: str = ",") -> list[dict[str, str]]:
    assert output.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(output.removeprefix("\ufeff")), delimiter=delimiter))


def rows(servers: MemoryServers, name: str, *options: str) -> list[dict[str, Any]]:
    output = servers.run("submissions", "report", name, "--format", "jsonl", *options).stdout
    return [json.loads(line) for line in output.splitlines()]


def test_it_is_counted_while_it_runs(servers: MemoryServers) -> None:
    """What is sent, what has ended in which way, and what waits."""
    name = submitted(servers)
    expected = {"state": "running", "total": 3, "waiting": 3, "created": 0, "rejected": 1}
    assert shown(servers, name).items() >= expected.items()
    servers.work(most=2, c_2="already_open")
    found = shown(servers, name)
    assert (found["waiting"], found["created"], found["failed"]) == (1, 1, 1)
    assert found["outcomes"] == {"created": 1, "failed:already_open": 1}
    servers.work()
    assert shown(servers, name)["state"] == "done"
    assert servers.run("submissions", "show", name).stdout.splitlines() == [
        f"submission {name}: done",
        f"  begun     {found['begunAt']}",
        f"  file      {Path('jobs.csv').resolve()}",
        "  jobs      3",
        "  created   2",
        "  failed as already_open 1",
        "  rejected  1 entry",
    ]


def test_what_producers_label_counts_as_well(servers: MemoryServers) -> None:
    """As far as workers have seen it."""
    for number in range(3):
        job = make_job(number, submissionId="theirs")
        servers.begin(job)
        if number:
            document = job_document(number, submissionId="theirs")
            servers.end(job, document, "rejected" if number == 2 else None)
    found = shown(servers, "theirs")
    assert (found["total"], found["waiting"], found["file"]) == (3, 1, None)
    assert [(row["jobId"], row["outcome"], row["code"]) for row in rows(servers, "theirs")] == [
        ("job-1", "created", None),
        ("job-2", "failed", "rejected"),
    ]


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_all_are_listed_the_latest_first(servers: MemoryServers, form: str) -> None:
    """Those of files and those of producers."""
    servers.begin(make_job(1, submissionId="theirs"))
    submitted(servers, name="one.csv")
    output = servers.run("submissions", "list", "--format", form).stdout
    assert output.index("one-") < output.index("theirs")
    if form == "json":
        assert [one["total"] for one in json.loads(output)] == [3, 1]


def test_nothing_is_known_of_it(servers: MemoryServers) -> None:
    """It is said with what to do, by every command."""
    for command in ("show", "report"):
        result = servers.run("submissions", command, "nonsense")
        assert result.exit_code == 1
        assert "submission nonsense is unknown" in result.stderr
    assert servers.run("submissions", "list", "--format", "json").stdout.strip() == "[]"


def test_each_row_is_reported_once(servers: MemoryServers) -> None:
    """In its order, with its columns and its outcome; formulas are harmless to spreadsheets."""
    name = submitted(servers)
    servers.work(most=2, c_2="already_open")
    output = servers.run("submissions", "report", name, "--format", "csv").stdout
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


def test_some_rows_alone(servers: MemoryServers) -> None:
    """By outcome or by code."""
    name = submitted(servers)
    servers.work(c_2="already_open")
    assert [row["line"] for row in rows(servers, name, "--only", "already_open")] == [4]
    both = rows(servers, name, "--only", "rejected", "--only", "failed")
    assert [row["line"] for row in both] == [4, 5]


def test_documents_have_columns_too(servers: MemoryServers) -> None:
    """The dotted paths of their fields, in the order in which they come."""
    jobs = [
        {"consumerId": "c-1", "profile": {"firstName": "A"}},
        {"consumerId": "c-2", "metadata": {"order": {"id": 7}}, "conversation": {"skillId": 1}},
        {"consumerId": "c-3", "clientProperties": {"features": ["AUTO_MESSAGES"]}},
    ]
    name = submitted(servers, "\n".join([*map(json.dumps, jobs), "{"]), "jobs.jsonl")
    servers.work()
    found = read_csv(servers.run("submissions", "report", name, "--format", "csv").stdout)
    assert [row["outcome"] for row in found] == ["created"] * 3 + ["rejected"]
    assert list(found[0])[:7] == [
        *("line", "consumerId", "profile.firstName", "metadata.order.id", "conversation.skillId"),
        *("clientProperties.features", "text"),
    ]
    assert found[1]["metadata.order.id"] == "7"
    assert found[2]["clientProperties.features"] == '["AUTO_MESSAGES"]'
    first = rows(servers, name)[0]
    assert first["input"] == {"consumerId": "c-1", "profile.firstName": "A"}


def test_a_replayed_job_is_reported_as_it_is_now(servers: MemoryServers) -> None:
    """Once, also where no file says which jobs there are."""
    document = job_document(1, submissionId="theirs")
    job = make_job(1, submissionId="theirs")
    servers.begin(job)
    letter = json.loads(servers.end(job, document, "rejected").body)
    assert reopen(servers.store, ACCOUNT, "job-1", letter=letter, seconds=3600)
    assert rows(servers, "theirs") == []
    servers.begin(job)
    servers.end(job, document, None)
    assert [(row["jobId"], row["outcome"]) for row in rows(servers, "theirs")] == [
        ("job-1", "created")
    ]
    assert shown(servers, "theirs")["outcomes"] == {"created": 1}


def test_a_file_that_has_changed_is_not_taken_for_the_one_that_was_sent(
    servers: MemoryServers,
) -> None:
    """The jobs are reported from the store, unless the file is named."""
    name = submitted(servers)
    servers.work()
    path = Path("jobs.csv")
    path.write_text(path.read_text() + "c-5;;;;e\n")
    result = servers.run("submissions", "report", name, "--format", "jsonl")
    assert "is not the file that was submitted" in result.stderr
    assert [json.loads(line)["line"] for line in result.stdout.splitlines()] == [None] * 3
    assert len(rows(servers, name, "--file", "jobs.csv")) == 5
    path.unlink()
    result = servers.run("submissions", "report", name)
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


def test_a_page_needs_nothing_else_and_obeys_nobody(servers: MemoryServers) -> None:
    """With a chart; what stands in a file is text there, whatever it is."""
    body = f"consumerId,jobId\nc-1,a\nc-2,{HOSTILE}\nc-3,c\n"
    name = submitted(servers, body, "jobs.csv")
    servers.work(c_2="rejected")
    servers.run("submissions", "report", name, "--format", "html", "--output", "report.html")
    page = Page()
    page.feed(Path("report.html").read_text())
    assert not {"script", "link", "img"} & set(page.tags)
    assert page.links == []
    assert page.tags.count("rect") == 2
    assert HOSTILE in page.text
    assert "66.7 %" in page.text
    assert "it was rejected" in page.text


def test_a_cancelled_submission_ends_job_by_job(servers: MemoryServers) -> None:
    """Whoever is not there to be asked has to say so beforehand."""
    name = submitted(servers)
    servers.work(most=1)
    refused = servers.run("submissions", "cancel", name)
    assert refused.exit_code == 1
    assert "--yes" in refused.stderr
    result = servers.run("submissions", "cancel", name, "--yes")
    assert result.stdout == (
        f"submission {name}: 2 jobs have no outcome yet; each is cancelled when it comes up\n"
    )
    assert shown(servers, name)["state"] == "cancelled"
    servers.work()
    assert shown(servers, name)["outcomes"] == {"created": 1, "failed:cancelled": 2}


def test_what_nobody_knows_of_is_cancelled_when_it_comes(servers: MemoryServers) -> None:
    """A producer's jobs that no worker has seen yet."""
    result = servers.run("submissions", "cancel", "theirs", "--yes")
    assert "those that come are cancelled" in result.stdout
    assert text(servers.store.hget(Keys(ACCOUNT).tally("theirs"), "cancelled"))
    assert shown(servers, "theirs")["state"] == "cancelled"


def test_a_submission_is_paused_and_goes_on(servers: MemoryServers) -> None:
    """Jobs that come meanwhile wait; what else is paused holds them as well."""
    name = submitted(servers)
    result = servers.run("submissions", "pause", name)
    assert re.fullmatch(
        f"submission {name} is paused since .* by .*: nothing more.*\n", result.stdout
    )
    assert shown(servers, name)["state"] == "paused"
    assert (
        servers.run("submissions", "show", name)
        .stdout.splitlines()[1]
        .startswith(f"  submission {name} is paused since ")
    )
    assert isinstance(servers.begin(make_job(1, submissionId=name)), Wait | Defer)
    servers.run("pause")
    assert servers.run("submissions", "resume", name).stdout == f"submission {name} goes on\n"
    assert str(shown(servers, name)["paused"]).startswith("everything is paused since")
    servers.run("resume")
    assert shown(servers, name)["state"] == "running"
    assert "was neither paused nor cancelled" in servers.run("submissions", "resume", name).stdout


def test_a_cancellation_can_be_taken_back(servers: MemoryServers) -> None:
    """What has ended by then has ended."""
    name = submitted(servers)
    servers.run("submissions", "cancel", name, "--yes")
    servers.work(most=1)
    assert servers.run("submissions", "resume", name).stdout == f"submission {name} goes on\n"
    servers.work()
    assert shown(servers, name)["outcomes"] == {"created": 2, "failed:cancelled": 1}
    assert servers.store.ttl(Keys(ACCOUNT).tally(name)) > 0
