"""Submitting: which entries go, under which id, and why the others do not."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from config.names import JOBS_EXCHANGE_NAME
from console.jobfiles.batch_form import batches
from console.jobfiles.job_file import Entry
from console.jobfiles.submission import Accepted, Rejected, check, outgoing

ACCOUNT = "12345678"


def checked(
    document: object,
    *,
    accounts: tuple[str, ...] = (ACCOUNT,),
    account_id: str | None = None,
    consumer_id_from: str | None = None,
) -> Accepted | Rejected:
    """Check a document that stands in line 7."""
    return check(
        Entry(number=7, document=document),
        accounts=accounts,
        account_id=account_id,
        consumer_id_from=consumer_id_from,
    )


def accepted(document: object, **options: Any) -> Accepted:
    """Check a document that is expected to be good."""
    found = checked(document, **options)
    assert isinstance(found, Accepted), found
    return found


PROFILE = {"id": "1,", "type": "userprofile.SetUserProfile", "body": {"userId": "c-1"}}
CONVERSATION = {
    "kind": "req",
    "id": "1,",
    "type": "cm.ConsumerRequestConversation",
    "body": {"brandId": ACCOUNT, "skillId": "7"},
    "metadata": [{"type": "ExternalId", "id": "1"}],
}
AS_JOB = {
    "consumerId": "c-1",
    "profile": PROFILE["body"],
    "conversation": CONVERSATION["body"],
    "itemMetadata": {"conversation": CONVERSATION["metadata"]},
}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([PROFILE, CONVERSATION], "profile.userId"),
        ({"consumerId": "c-1", "batch": [PROFILE, CONVERSATION]}, None),
        ({"consumerId": "c-1", "batch": [PROFILE, CONVERSATION]}, "profile.firstName"),
    ],
)
def test_livepersons_own_form_is_a_job(document: object, path: str | None) -> None:
    """With the consumerId beside it, or from within it."""
    job = accepted(document, consumer_id_from=path)
    assert {name: job.document[name] for name in job.document if name != "jobId"} == AS_JOB


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([PROFILE, CONVERSATION], "consumerId: is missing, since LivePerson's own form has none"),
        ([PROFILE], "a batch is an array of two items"),
        ([CONVERSATION, PROFILE], "a batch is an array of two items"),
        (
            [PROFILE, CONVERSATION, {"type": "ms.PublishEvent", "body": {}}],
            "the batch has a third item with the first message",
        ),
        (
            [PROFILE, {**CONVERSATION, "skillId": "7"}],
            "batch[1].skillId: is not a field of an item",
        ),
        (
            {"batch": [PROFILE, CONVERSATION], "profile": {}, "consumerId": "c"},
            "profile: stands both beside the batch and in it",
        ),
    ],
)
def test_what_is_no_job_in_livepersons_own_form(document: object, reason: str) -> None:
    """Each says where what it has belongs."""
    found = checked(document)
    assert isinstance(found, Rejected)
    assert found.reason.startswith(reason)
    assert found.content == {"job": document}


@pytest.mark.parametrize(
    "path", ["profile.userId", "profile.x", "profile.authenticatedData.lp_sdes.5"]
)
def test_a_consumer_that_is_not_where_it_is_looked_for(path: str) -> None:
    """The path is named, and no other text is taken for it."""
    document = {"profile": {"userId": 5, "authenticatedData": {"lp_sdes": []}}}
    found = checked(document, consumer_id_from=path)
    assert isinstance(found, Rejected)
    assert path in found.reason


def test_a_batch_by_itself_is_one_job() -> None:
    """In a file it looks like an array of two jobs; it is named by its last item, for --skip."""
    documents = [PROFILE, CONVERSATION, {"a": 1}, CONVERSATION, PROFILE, {"b": 1}, PROFILE]
    entries = (Entry(number=number, document=one) for number, one in enumerate(documents, start=1))
    assert [(entry.number, entry.document) for entry in batches(entries)] == [
        (2, [PROFILE, CONVERSATION]),
        (3, {"a": 1}),
        (4, [CONVERSATION]),
        (5, [PROFILE]),
        (6, {"b": 1}),
        (7, [PROFILE]),
    ]


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
