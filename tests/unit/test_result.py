"""The messages out: results and dead letters."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from tasks.messages.attempt import Attempt
from tasks.messages.dead_letter import DeadLetter, dead_letter_id
from tasks.messages.fields.examples import EXAMPLES
from tasks.messages.job import parse_job
from tasks.messages.json_text import dumps_compact, loads_strict
from tasks.messages.outcome import Outcome, failed, opened

ATTEMPT = Attempt(
    at="2026-01-31T09:00:01.250Z",
    http_status=None,
    outcome="unknown",
    cause="asyncMessagingEnt va.msg.liveperson.net: silence",
    note="probe",
)


def test_an_attempt_is_read_as_the_ledger_holds_it() -> None:
    """The note is the ledger's alone, and the outcome comes last, where its scripts look for it."""
    record = json.dumps(ATTEMPT.to_record())
    assert Attempt.from_dict(json.loads(record)) == ATTEMPT
    assert record.endswith('"outcome": "unknown"}')
    assert "note" not in ATTEMPT.to_dict()
    old = {"at": ATTEMPT.at, "httpStatus": 502, "outcome": "unknown"}
    assert Attempt.from_dict(old).cause == ""


def result(status: Literal["created", "reused"] = "created", **given: Any) -> Outcome:
    job = parse_job({"jobId": "order-4711", "consumerId": "c-1", **given}, accounts=["12345678"])
    return opened(
        job,
        status=status,
        conversation_id="8602832d",
        lp_consumer_id=None,
        attempts=1,
        enqueued_at="2026-01-31T09:00:00.000Z",
        resolved_by=None,
        conversation=job.conversation,
    )


def dead_letter(**changes: object) -> DeadLetter:
    fields: dict[str, object] = {
        "code": "rejected",
        "message": "LivePerson refused the request",
        "failed_at": "2026-01-31T09:00:01.250Z",
    }
    return DeadLetter(**(fields | changes))  # type: ignore[arg-type]  # a table of keyword arguments


def test_a_result_leaves_out_what_does_not_apply() -> None:
    """The smallest result holds nothing that is null; its dialog is its conversation."""
    message = json.loads(result().body)
    created_at = message.pop("createdAt")
    assert datetime.now(UTC) - datetime.fromisoformat(created_at) < timedelta(minutes=1)
    assert message == {
        "jobId": "order-4711",
        "accountId": "12345678",
        "consumerId": "c-1",
        "status": "created",
        "conversationId": "8602832d",
        "dialogId": "8602832d",
        "attempts": 1,
        "enqueuedAt": "2026-01-31T09:00:00.000Z",
    }


def test_a_result_holds_all_that_the_next_stage_needs() -> None:
    """Every field has the name and the order of the contract."""
    message = EXAMPLES["result"][0]
    of_the_job = ("jobId", "consumerId", "clientProperties", "submissionId", "metadata")
    job = parse_job(
        {
            **{name: message[name] for name in of_the_job},
            "conversation": {
                name: message[name] for name in ("campaignInfo", "conversationContext")
            },
        },
        accounts=[message["accountId"]],
    )
    outcome = opened(
        job,
        status="created",
        conversation_id=message["conversationId"],
        lp_consumer_id=message["lpConsumerId"],
        attempts=message["attempts"],
        enqueued_at=message["enqueuedAt"],
        resolved_by=None,
        conversation=job.conversation,
    )
    made = json.loads(outcome.body)
    assert {**made, "createdAt": message["createdAt"]} == message
    assert list(made) == list(message)


@pytest.mark.parametrize("metadata", [{}, {"a": None, "b": [0, False, ""]}])
def test_metadata_comes_back_untouched(metadata: dict[str, object]) -> None:
    """Empty and null values within the metadata are the producer's own."""
    assert json.loads(result(metadata=metadata).body)["metadata"] == metadata


@pytest.mark.parametrize(
    ("status", "routing_key"),
    [("created", "conversation.created"), ("reused", "conversation.reused")],
)
def test_a_results_status_is_its_routing_key(
    status: Literal["created", "reused"], routing_key: str
) -> None:
    """Consumers can bind to the one or the other."""
    assert result(status).routing_key == routing_key


def test_a_dead_letter_holds_the_job_as_it_was_received() -> None:
    """Also what no field knows is kept, so that the job can be mended and replayed."""
    job = {"jobId": "order-4711", "skil": 1, "nested": {"b": [1], "a": None}}
    letter = dead_letter(job=job, http_status=400, error_code=40001, attempts=(ATTEMPT,))
    assert letter.to_dict() == {
        "job": job,
        "status": "failed",
        "error": {
            "code": "rejected",
            "message": "LivePerson refused the request",
            "httpStatus": 400,
            "errorCode": 40001,
            "attempts": [
                {
                    "at": "2026-01-31T09:00:01.250Z",
                    "httpStatus": None,
                    "cause": "asyncMessagingEnt va.msg.liveperson.net: silence",
                    "outcome": "unknown",
                }
            ],
        },
        "failedAt": "2026-01-31T09:00:01.250Z",
    }
    assert letter.routing_key == "conversation.failed"


@pytest.mark.parametrize(
    ("raw", "text", "encoding"),
    [
        (b"", "", "utf-8"),
        (b"no json", "no json", "utf-8"),
        ("é\0".encode(), "é\0", "utf-8"),
        (b"\x80\x02}q\x00.", "gAJ9cQAu", "base64"),
    ],
)
def test_what_cannot_be_read_is_kept_to_the_byte(raw: bytes, text: str, encoding: str) -> None:
    """Text stays legible; what is not UTF-8 becomes base64."""
    message = dead_letter(raw=raw, code="malformed_message").to_dict()
    assert (message.get("raw"), message.get("rawEncoding")) == (text, encoding)
    assert loads_strict(dumps_compact(message), max_bytes=10_000) == message
    assert "job" not in message


@pytest.mark.parametrize("content", [{}, {"job": {}, "raw": b""}])
def test_a_dead_letter_has_one_content(content: dict[str, object]) -> None:
    """Neither nothing nor two things can be buried in one letter."""
    with pytest.raises(ValueError, match="either the job or the raw message"):
        dead_letter(**content)


def test_what_is_reused_describes_the_open_conversation() -> None:
    """It was opened with something else: the new job's campaign and context had no effect."""
    document: dict[str, Any] = {
        "jobId": "job-1",
        "consumerId": "c",
        "conversation": {
            "campaignInfo": {"campaignId": "1", "engagementId": "2"},
            "conversationContext": {"type": "SharkContext", "visitorId": "v"},
        },
        "clientProperties": {"type": "mine"},
        "submissionId": "spring",
        "metadata": {"a": 1},
    }
    job = parse_job(document, accounts=["1"])
    cases: list[tuple[Literal["created", "reused"], dict[str, str] | None]] = [
        ("created", None),
        ("reused", {"type": "the opener's"}),
        ("reused", None),
    ]
    messages = [
        json.loads(
            opened(
                job,
                status=status,
                conversation_id="x",
                lp_consumer_id=None,
                attempts=1,
                enqueued_at=ATTEMPT.at,
                resolved_by=None,
                conversation=job.conversation,
                opened_with=properties,
            ).body
        )
        for status, properties in cases
    ]
    created, reused, unknown = messages
    assert created["clientProperties"] == {"type": "mine"}
    assert created["campaignInfo"] == document["conversation"]["campaignInfo"]
    assert created["conversationContext"] == document["conversation"]["conversationContext"]
    assert reused["clientProperties"] == {"type": "the opener's"}
    assert unknown.keys() == reused.keys() - {"clientProperties"}
    assert not reused.keys() & {"campaignInfo", "conversationContext"}
    assert all(one["submissionId"] == "spring" for one in messages)


def test_a_conflict_does_not_stand_for_the_first_job() -> None:
    """Once it is published, the first job's record is left as it is."""
    document = {"jobId": "job-1", "accountId": "1", "consumerId": "c"}
    job = parse_job(document, accounts=["1"])
    assert failed(job, document, code="conflict", message="").account_id == ""
    assert failed(job, document, code="expired", message="").account_id == "1"


@pytest.mark.parametrize(
    ("document", "identity"),
    [
        ({"jobId": "order-4711", "unknown": 1}, "order-4711"),
        ({"jobId": "j" * 128}, "j" * 128),
        ({"jobId": ""}, None),
        ({"jobId": "j" * 129}, None),
        ({"jobId": "é" * 128}, None),
        ({"jobId": "a\nb"}, None),
        ({"jobId": 4711}, None),
        ({}, None),
        (["jobId"], None),
        (None, None),
    ],
)
def test_a_dead_letters_id_is_the_jobs_where_it_can_be_one(
    document: object, identity: str | None
) -> None:
    """An id that fits no `message_id` is replaced by a hash of the message's bytes."""
    raw = b"the bytes"
    expected = identity or dead_letter_id(None, raw)
    assert dead_letter_id(document, raw) == expected


def test_equal_bytes_are_one_dead_letter() -> None:
    """A redelivery repeats the id, another message has another, and both fit a message_id."""
    one, other = dead_letter_id(None, b"a"), dead_letter_id(None, b"b")
    assert one == dead_letter_id(["different reading"], b"a")
    assert one != other
    assert max(len(one.encode()), len(other.encode())) <= 255
