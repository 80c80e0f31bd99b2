"""Reading the dead-letter queue, whatever lies in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from console.admin.dead_letters import read_dead
from tasks.messages.fields.examples import EXAMPLES
from tasks.messages.json_text import dumps_compact

JOB: dict[str, Any] = {"jobId": "order-1", "accountId": "1", "consumerId": "c"}
DEATH = {"x-death": [{"reason": "delivery_limit", "count": 1}]}


def test_what_the_broker_let_expire_has_that_code() -> None:
    """Celery's `expires` is a time limit of the broker's, too."""
    death = {"reason": "expired", "count": 1, "time": datetime(2026, 1, 31, 9, tzinfo=UTC)}
    headers = {"task": "conversations.create", "x-death": [death]}
    letter = read_dead(json.dumps([[JOB], {}, {}]).encode(), headers)
    assert (letter.code, letter.job) == ("expired", JOB)
    assert letter.document["failedAt"] == "2026-01-31T09:00:00.000Z"


def test_a_dead_letter_is_itself() -> None:
    """What the worker wrote is shown as it is."""
    document = EXAMPLES["dead-letter"][0]
    letter = read_dead(dumps_compact(document), {})
    assert letter.document == document
    assert (letter.job_id, letter.account_id, letter.code) == ("order-4711", "12345678", "rejected")


def test_jobs_without_an_id_are_told_apart() -> None:
    """Each is shown and replayed by an id of its own, which stays the same."""
    letters = [
        read_dead(dumps_compact({**EXAMPLES["dead-letter"][0], "job": job}), {})
        for job in ({"consumerId": "c-1"}, {"consumerId": "c-2"}, {"consumerId": "c-1"})
    ]
    one, other, again = (letter.job_id for letter in letters)
    assert one.startswith("raw-")
    assert one != other
    assert one == again


def test_a_raw_message_has_the_id_that_it_was_published_with() -> None:
    """So it can be shown, though not replayed."""
    document = EXAMPLES["dead-letter"][1]
    letter = read_dead(dumps_compact(document), {})
    assert (letter.job, letter.account_id) == (None, None)
    assert letter.job_id == f"raw-{sha256(document['raw'].encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(JOB).encode(), {}),
        (json.dumps([[JOB], {}, {}]).encode(), {"task": "conversations.create", "id": "x"}),
        (json.dumps({"task": "conversations.create", "id": "x", "args": [JOB]}).encode(), {}),
    ],
)
def test_what_the_broker_gave_up_is_still_a_job(body: bytes, headers: dict[str, Any]) -> None:
    """RabbitMQ moves a message here as its producer wrote it: its job can be replayed."""
    letter = read_dead(body, {**headers, **DEATH})
    assert letter.job == JOB
    assert (letter.job_id, letter.code) == ("order-1", "internal_error")
    assert letter.document["error"]["message"] == "the broker gave the message up: delivery_limit"


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"[1]", b'{"status":"failed","error":1', b"7"])
def test_garbage_is_a_dead_letter_too(body: bytes) -> None:
    """It holds the bytes, and no job."""
    letter = read_dead(body, {})
    assert (letter.job, letter.code) == (None, "internal_error")
    assert letter.job_id.startswith("raw-")


def test_a_letter_that_others_wrote_badly_is_kept_whole() -> None:
    """As any other message that is none of ours."""
    body = b'{"status": "failed", "error": {}, "raw": "x", "rawEncoding": "base64"}'
    letter = read_dead(body, {})
    assert (letter.code, letter.job) == ("internal_error", json.loads(body))
