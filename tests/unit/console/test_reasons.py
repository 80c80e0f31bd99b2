"""Why the jobs of a submission failed: grouped, and read in bounded time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.settings import Settings
from console.admin import reasons
from console.admin.reasons import Reasons, read_reasons
from console.admin.submissions import view
from tests.jobs import ACCOUNT, job_document, make_job
from tests.memory_servers import MemoryServers, memory_servers

NAME = "spring"


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServers]:
    with memory_servers(monkeypatch) as found:
        yield found


def end(servers: MemoryServers, number: int, message: str = "") -> None:
    """Have a job end: as a dead letter with a message, or with a conversation."""
    document = job_document(number, submissionId=NAME)
    job = make_job(number, submissionId=NAME)
    servers.begin(job)
    servers.end(job, document, "rejected" if message else None, message=message)


def read(servers: MemoryServers, *, key: str = "") -> Reasons:
    found = view(servers.store, [ACCOUNT], NAME)
    assert found is not None
    settings = Settings(account_id=ACCOUNT, client_id="demo-client", client_secret="demo-secret")
    return read_reasons(servers.store, settings, found, key=key)


def test_the_most_frequent_come_first(servers: MemoryServers) -> None:
    """With all jobs of a group found, also when others came before."""
    for number in range(6):
        end(servers, number, "often" if number % 3 else "seldom")
    found = read(servers)
    assert [(one.code, one.message, one.count) for one in found.groups] == [
        ("rejected", "often", 4),
        ("rejected", "seldom", 2),
    ]
    assert found.is_whole
    rows = read(servers, key=found.groups[1].key).rows
    assert [row.job_id for row in rows] == ["job-0", "job-3"]
    assert found.named("nonsense") is None


def test_of_many_jobs_some_are_read_evenly(
    servers: MemoryServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among them the last ones, however late something began to fail."""
    monkeypatch.setattr(reasons, "MAX_JOBS", 10)
    monkeypatch.setattr("console.admin.submissions.BATCH_IDS", 2)
    for number in range(40):
        end(servers, number, "late" if number >= 20 else "")
    found = read(servers)
    assert [(one.message, one.count) for one in found.groups] == [("late", 4)]
    assert (found.looked, found.is_whole) == (10, False)


def test_it_stops_when_all_that_failed_are_found(
    servers: MemoryServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a few failures of many jobs are counted whole, where they are early."""
    monkeypatch.setattr(reasons, "MAX_JOBS", 10)
    monkeypatch.setattr("console.admin.submissions.BATCH_IDS", 2)
    for number in range(40):
        end(servers, number, "early" if number < 2 else "")
    found = read(servers)
    assert (found.looked, found.is_whole) == (2, True)


def test_no_more_is_kept_than_is_shown(
    servers: MemoryServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of groups nor of jobs."""
    monkeypatch.setattr(reasons, "MAX_REASONS", 2)
    monkeypatch.setattr(reasons, "MAX_ROWS", 3)
    for number in range(9):
        end(servers, number, f"sentence {number}")
    found = read(servers)
    assert (len(found.groups), len(found.rows)) == (2, 3)
