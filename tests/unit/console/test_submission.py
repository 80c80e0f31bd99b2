"""Submitting: which entries go, under which id, and why the others do not."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from config.names import JOBS_EXCHANGE_NAME
from console.jobfiles.job_file import Entry
from console.jobfiles.submission import Accepted, Rejected, check, outgoing

ACCOUNT = "12345678"


def checked(
    document: object, *, accounts: tuple[str, ...] = (ACCOUNT,), account_id: str | None = None
) -> Accepted | Rejected:
    """Check a document that stands in line 7."""
    return check(Entry(number=7, document=document), accounts=accounts, account_id=account_id)


def accepted(document: object, **options: Any) -> Accepted:
    """Check a document that is expected to be good."""
    found = checked(document, **options)
    assert isinstance(found, Accepted), found
    return found


def test_a_job_goes_as_it_is() -> None:
    """Nothing is added to a job that has its id."""
    document = {"jobId": "a", "consumerId": "c", "priority": 4, "metadata": {"ü": 1}}
    job = accepted(document)
    message = outgoing(job, "conversations.jobs.7")
    assert json.loads(message.body) == document
    assert (message.exchange, message.routing_key) == (JOBS_EXCHANGE_NAME, "conversations.jobs.7")
    assert (message.message_id, message.priority) == ("a", 4)
    assert list(message.headers) == ["enqueued-at"]


def test_a_job_without_id_gets_one_of_its_content() -> None:
    """The same job has the same id in every run, however its keys are ordered; another has not."""
    job = {"consumerId": "c", "conversation": {"skillId": 7}}
    same = {"conversation": {"skillId": "7"}, "consumerId": "c", "accountId": ACCOUNT}
    first, second = accepted(job), accepted(same)
    assert first.job_id == second.job_id == str(uuid.UUID(first.job_id))
    assert first.document == {"jobId": first.job_id, **job}
    assert first.got_id
    assert accepted({"consumerId": "d"}).job_id != first.job_id


@pytest.mark.parametrize(
    ("document", "given", "expected"),
    [
        ({"jobId": "a", "consumerId": "c"}, "999", "999"),
        ({"jobId": "a", "consumerId": "c", "accountId": "1"}, "999", "1"),
        ({"jobId": "a", "consumerId": "c", "accountId": "1"}, None, "1"),
    ],
)
def test_without_configured_accounts_any_is_taken(
    document: dict[str, Any], given: str | None, expected: str
) -> None:
    """Jobs can be submitted where no worker is set up; --account is for those that name none."""
    job = accepted(document, accounts=(), account_id=given)
    assert (job.account_id, job.document["accountId"]) == (expected, expected)


@pytest.mark.parametrize(
    ("document", "accounts", "reason"),
    [
        ([1], (ACCOUNT,), "it is not a JSON object"),
        ({"jobId": "a"}, (ACCOUNT,), "consumerId: is missing"),
        ({"jobId": "", "consumerId": "c"}, (ACCOUNT,), "jobId: "),
        ({"consumerId": "c", "profil": {}}, (ACCOUNT,), "did you mean profile?"),
        ({"consumerId": "c", "accountId": "1"}, (ACCOUNT,), "not a configured account"),
        ({"jobId": "a", "consumerId": "c"}, (), "accountId: is missing"),
        ({"jobId": "a", "consumerId": "c", "accountId": 1}, (), "accountId: "),
    ],
)
def test_what_is_no_job_is_rejected_with_its_reason(
    document: object, accounts: tuple[str, ...], reason: str
) -> None:
    """What stood there is kept, to be corrected."""
    found = checked(document, accounts=accounts)
    assert isinstance(found, Rejected)
    assert reason in found.reason
    assert (found.number, found.content) == (7, {"job": document})


def test_what_could_not_be_read_is_kept_as_text() -> None:
    """Its reason is the reader's."""
    entry = Entry(number=3, fault="the line is not JSON", text="{")
    assert check(entry, accounts=(), account_id=None) == Rejected(
        number=3, reason="the line is not JSON", content={"text": "{"}
    )
