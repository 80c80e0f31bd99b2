"""A file as one submission: how it is labelled, counted, and gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from console.admin import submitting
from console.admin.submissions import cancel_submission, view
from tasks.messages.outgoing import Outgoing
from tasks.store.connection import Keys
from tests.jobs import ACCOUNT
from tests.memory_broker import KombuProducer
from tests.memory_servers import MemoryServers, memory_servers

DAY = 86_400


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServers]:
    with memory_servers(monkeypatch) as found:
        yield found


def write(path: Path, count: int, *, first: int = 0) -> Path:
    """Write a CSV file of jobs without ids."""
    rows = [f"consumer-{number}" for number in range(first, first + count)]
    path.write_text("\n".join(["consumerId", *rows]) + "\n")
    return path


def state(servers: MemoryServers, name: str) -> dict[str, object]:
    found = view(servers.store, [ACCOUNT], name)
    assert found is not None
    return found.to_dict()


def label(output: str) -> str:
    return output.splitlines()[-1].split()[1].rstrip(";")


def test_a_file_is_named_after_itself(servers: MemoryServers) -> None:
    """By its name and its content: the same file is the same submission, another is another."""
    names = set()
    for path, count in (("jobs.csv", 2), ("Spring sale.csv", 2), ("jobs.csv", 3), ("jobs.csv", 2)):
        names.add(label(servers.run("submit", str(write(Path(path), count))).stdout))
    assert len(names) == 3
    assert {name.rpartition("-")[0] for name in names} == {"jobs", "Spring-sale"}


def test_jobs_bear_the_label_but_for_those_that_have_one(servers: MemoryServers) -> None:
    """It is no part of their content."""
    jobs = [{"consumerId": "a"}, {"consumerId": "b", "submissionId": "its own"}]
    Path("jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    result = servers.run("submit", "jobs.jsonl", "--name", "Spring sale")
    assert result.stdout.splitlines()[-1] == (
        "submission Spring sale; overture submissions show 'Spring sale' follows it"
    )
    assert [job["submissionId"] for job in servers.waiting()] == ["Spring sale", "its own"]
    assert state(servers, "Spring sale")["total"] == 1


def test_what_is_submitted_again_is_already_done(servers: MemoryServers) -> None:
    """Nothing is sent for it, and what failed is said apart."""
    file = write(Path("jobs.csv"), 4)
    servers.run("submit", str(file))
    servers.work(consumer_2="rejected")
    result = servers.run("submit", str(file))
    assert servers.waiting() == []
    assert result.stdout.splitlines()[:2] == [
        "submitted 0 jobs to conversations.jobs",
        "already done 4 (among them failed as rejected 1)",
    ]
    found = state(servers, label(result.stdout))
    assert (found["state"], found["total"], found["waiting"]) == ("done", 4, 0)
    assert found["outcomes"] == {"created": 3, "failed:rejected": 1}


def test_what_was_done_under_another_name_is_not_done_again(servers: MemoryServers) -> None:
    """Nor does the new submission wait for it."""
    file = write(Path("jobs.csv"), 4)
    servers.run("submit", str(file), "--name", "spring")
    servers.work()
    write(file, 6)
    result = servers.run("submit", str(file), "--name", "autumn")
    assert result.stdout.splitlines()[:2] == [
        "submitted 2 jobs to conversations.jobs",
        "already done 4",
    ]
    assert state(servers, "autumn")["total"] == 2
    servers.work()
    assert state(servers, "autumn")["state"] == "done"


class Breaking(KombuProducer):
    """Stops at a batch, as Ctrl-C does, or as a broker that is gone."""

    after = 10**9
    error: BaseException = KeyboardInterrupt()

    def send(self, messages: Sequence[Outgoing]) -> int:
        if Breaking.after == 0:
            Breaking.after = 10**9
            raise Breaking.error
        Breaking.after -= 1
        return super().send(messages)


@pytest.fixture
def breaking(servers: MemoryServers, monkeypatch: pytest.MonkeyPatch) -> type[Breaking]:
    """Have files sent in batches of ten, by a producer that can break off."""
    monkeypatch.setattr(submitting, "BATCH_JOBS", 10)
    monkeypatch.setattr(servers.broker, "producer", Breaking)
    monkeypatch.setattr(Breaking, "error", KeyboardInterrupt())
    return Breaking


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("the broker is gone")])
def test_a_run_that_broke_off_goes_on_by_itself(
    servers: MemoryServers, breaking: type[Breaking], error: BaseException
) -> None:
    """Twice, with a bad row and some that workers did meanwhile: each job is sent once."""
    breaking.error = error
    file = write(Path("jobs.csv"), 45)
    file.write_text(file.read_text().replace("consumer-7\n", '""\n'))
    name = ""
    for number, batches in enumerate((2, 1)):
        breaking.after = batches
        result = servers.run("submit", str(file))
        assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)
        assert result.stderr.splitlines()[-1].endswith(
            "; submit the file again to go on from there"
        )
        name = servers.waiting()[0]["submissionId"]
        found = state(servers, name)
        assert (found["state"], found["total"]) == ("sending", [20, 30][number])
    servers.work(most=5)
    result = servers.run("submit", str(file))
    assert result.stdout.splitlines()[:3] == [
        "submitted 14 jobs to conversations.jobs",
        "25 jobs sent by an earlier run that broke off, and not again",
        "already done 5",
    ]
    assert label(result.stdout) == name
    consumers = [job["consumerId"] for job in servers.waiting()]
    assert len(consumers) == len(set(consumers)) == 39
    servers.work()
    assert state(servers, name)["total"] == state(servers, name)["created"] == 44
    assert state(servers, name)["rejected"] == 0


def test_a_named_pipe_goes_on_too(
    servers: MemoryServers, breaking: type[Breaking], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a name, and the same content."""
    text = write(Path("jobs.csv"), 25).read_bytes()
    breaking.after = 1
    for status in (130, 0):
        reading, writing = os.pipe()
        os.write(writing, text)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            monkeypatch.setattr("console.jobfiles.source._stdin", lambda pipe=pipe: pipe)
            result = servers.run("submit", "-", "--format", "csv", "--name", "spring")
        assert result.exit_code == status
    assert len(servers.waiting()) == 25
    assert state(servers, "spring")["total"] == 25


def test_another_file_of_the_same_name_is_counted_beside_it(servers: MemoryServers) -> None:
    """As the corrected rows of the first one."""
    servers.run("submit", str(write(Path("jobs.csv"), 4)), "--name", "spring")
    servers.work()
    servers.run("submit", str(write(Path("more.csv"), 3, first=2)), "--name", "spring")
    found = state(servers, "spring")
    assert (found["total"], found["waiting"]) == (5, 1)


def test_repeated_rows_go_once(servers: MemoryServers) -> None:
    """With another content under the same id they do go, to be told of the conflict."""
    Path("jobs.csv").write_text("jobId,consumerId\na,1\nb,2\na,1\na,3\n")
    result = servers.run("submit", "jobs.csv")
    assert result.stdout.splitlines()[:2] == [
        "submitted 3 jobs to conversations.jobs",
        "1 line repeats a job of the file, which goes once",
    ]
    assert state(servers, label(result.stdout))["total"] == 3


@pytest.mark.parametrize(("skip", "status"), [("4", 0), ("5", 1)])
def test_a_start_beyond_the_end_is_said(servers: MemoryServers, skip: str, status: int) -> None:
    """In one sentence, that it is no success; after the last line there is simply nothing left."""
    write(Path("jobs.csv"), 3)
    for more in ([], ["--dry-run"]):
        result = servers.run("submit", "jobs.csv", "--skip", skip, *more)
        assert result.exit_code == status
        said = "overture: the file ends with line 4, so --skip 5 leaves nothing to submit\n"
        assert result.stderr == (said if status else "")


def test_a_cancelled_submission_takes_no_more_jobs(servers: MemoryServers) -> None:
    """Nothing would come of them."""
    file = write(Path("jobs.csv"), 2)
    servers.run("submit", str(file), "--name", "spring")
    cancel_submission(servers.store, [ACCOUNT], "spring")
    result = servers.run("submit", str(file), "--name", "spring")
    assert result.exit_code == 1
    assert "submission spring was cancelled" in result.stderr
    assert len(servers.waiting()) == 2


def test_a_pace_is_remembered_for_as_long_as_it_takes(servers: MemoryServers) -> None:
    """It is there before the first job is."""
    servers.run("submit", str(write(Path("jobs.csv"), 10)), "--name", "spring", "--rate", "0.00001")
    tally = Keys(ACCOUNT).tally("spring")
    assert servers.store.hget(tally, "rate") == b"1e-05"
    assert servers.store.ttl(tally) > (31 + 11) * DAY
    assert state(servers, "spring")["rate"] == 1e-5


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb"])
def test_a_name_that_no_job_can_bear_is_refused(servers: MemoryServers, name: str) -> None:
    """At once."""
    assert servers.run("submit", str(write(Path("jobs.csv"), 1)), "--name", name).exit_code == 2
