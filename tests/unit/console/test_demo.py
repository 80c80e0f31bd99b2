"""The demo's sample, and whether its reckoning would notice what does not add up."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from console.demo.play import Outcomes, disagreements
from console.demo.sample import ACCOUNTS, make_sample
from tasks.messages.intake import Malformed, Received, read
from tasks.messages.job import InvalidJob, parse_job

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


def kind_of(message: Any) -> str:
    """Tell what a worker would say to a message before it asks LivePerson."""
    message = Received(
        body=message.body,
        headers=message.headers,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
    )
    try:
        parse_job(read(message, max_bytes=100_000).document, accounts=ACCOUNTS)
    except Malformed:
        return "failed:malformed_message"
    except InvalidJob as error:
        return f"failed:{error.code}"
    return "job"


def test_the_sample_is_the_same_in_every_run() -> None:
    """But for the moment at which each job was enqueued."""
    first, second = make_sample(300, now=NOW), make_sample(300, now=NOW)
    assert [message.body for message in first.messages] == [m.body for m in second.messages]
    assert (first.faults, first.expected) == (second.faults, second.expected)


@pytest.mark.parametrize("size", [1, 300, 1000])
def test_the_sample_predicts_what_no_worker_can_take(size: int) -> None:
    """Its invalid messages are as many as it says; the others are all valid jobs."""
    sample = make_sample(size, now=NOW)
    kinds = [kind_of(message) for message in sample.messages]
    for kind in ("failed:invalid_job", "failed:unknown_account", "failed:malformed_message"):
        assert kinds.count(kind) == sample.expected[kind] > 0
    assert size <= 1 or len(sample.messages) == size


def outcomes(*results: dict[str, Any], failures: tuple[dict[str, Any], ...] = ()) -> Outcomes:
    """Collect results and dead letters."""
    found = Outcomes()
    for result in results:
        found.add_result(json.dumps(result).encode())
    for failure in failures:
        found.add_failure(json.dumps(failure).encode())
    return found


A = {"jobId": "a", "status": "created", "conversationId": "1"}
B = {"jobId": "b", "status": "reused", "conversationId": "1"}
C = {"job": {"jobId": "c"}, "status": "failed", "error": {"code": "rejected"}}
EXPECTED = {"created": 1, "reused": 1, "failed:rejected": 1}


def complaints(
    found: Outcomes, *, opened: tuple[str, ...] = ("1",), second: int = 0, waiting: int = 0
) -> list[str]:
    """Say what does not agree."""
    return list(
        disagreements(
            found, EXPECTED, opened=set(opened), second_conversations=second, waiting=waiting
        )
    )


def test_numbers_that_agree_are_not_complained_about() -> None:
    """An outcome that came twice is one."""
    found = outcomes(A, B, A, failures=(C, C))
    assert complaints(found) == []
    assert found.repeats == 2


@pytest.mark.parametrize(
    ("found", "options", "complaint"),
    [
        (outcomes(A, B), {}, "failed:rejected: 1 expected, 0 came out"),
        (
            outcomes(A, {**A, "conversationId": "2"}, B, failures=(C,)),
            {},
            "a has two different outcomes",
        ),
        (
            outcomes(A, {**A, "jobId": "d"}, B, failures=(C,)),
            {},
            "1 conversations are in two results that say created",
        ),
        (
            outcomes(A, B, failures=(C,)),
            {"opened": ("1", "2")},
            "1 conversations were opened that no result names",
        ),
        (
            outcomes(A, {**B, "conversationId": "9"}, failures=(C,)),
            {},
            "1 conversations are in results that LivePerson does not have",
        ),
        (outcomes(A, B, failures=(C,)), {"second": 1}, "1 consumers got a second conversation"),
        (outcomes(A, B, failures=(C,)), {"waiting": 3}, "3 messages are still waiting"),
    ],
)
def test_what_does_not_add_up_is_said(
    found: Outcomes, options: dict[str, Any], complaint: str
) -> None:
    """Each disagreement has its sentence."""
    assert complaint in complaints(found, **options)
