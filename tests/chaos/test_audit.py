"""The audit finds what it is there to find: each fault is planted, and named."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from config.names import CREATED_KEY, DEAD_LETTERS_QUEUE, FAILED_KEY, RESULTS_QUEUE
from tasks.messages.outcome import malformed as refused
from tests.chaos.audit import Audit, audit
from tests.chaos.malformed import malformed
from tests.chaos.plan import NOTHING_SPECIAL
from tests.chaos.received import Received
from tests.chaos.submissions import Submission, submissions, utc_now

ONE, OTHER = sorted(
    submissions(2, NOTHING_SPECIAL, random.Random(1), now=utc_now()), key=lambda one: one.job_id
)


def result(submission: Submission, conversation_id: str) -> Received:
    """Make the result that a worker publishes."""
    job = submission.document or {}
    body = {
        "jobId": job["jobId"],
        "consumerId": job["consumerId"],
        "status": "created",
        "conversationId": conversation_id,
        "metadata": job["metadata"],
    }
    return _received(RESULTS_QUEUE, json.dumps(body).encode(), job["jobId"], CREATED_KEY)


def dead_letter(submission: Submission, code: str) -> Received:
    """Make the dead letter that a worker publishes."""
    body = {"job": submission.document, "status": "failed", "error": {"code": code}}
    text = json.dumps(body).encode()
    return _received(DEAD_LETTERS_QUEUE, text, submission.job_id, FAILED_KEY)


def _received(queue: str, body: bytes, message_id: str, kind: str) -> Received:
    return Received(
        queue=queue,
        body=body,
        message_id=message_id,
        type=kind,
        content_type="application/json",
        headers={},
    )


def conversation(submission: Submission, conversation_id: str, **changes: Any) -> dict[str, Any]:
    """Make a conversation as the simulator lists it."""
    job = submission.document or {}
    return {
        "conversationId": conversation_id,
        "extConsumerId": job["consumerId"],
        "clientProperties": job["clientProperties"],
        "createdAt": utc_now().isoformat(),
        **changes,
    }


def found(report: Audit) -> set[str]:
    """Name the kinds of fault that an audit found."""
    return {kind for kind, sentences in report.faults.items() if sentences}


GOOD = [result(ONE, "a"), result(OTHER, "b")]
OPEN = [conversation(ONE, "a"), conversation(OTHER, "b")]


def test_what_is_right_is_no_fault() -> None:
    """Each job with its conversation and its result; one of them comes twice."""
    report = audit([ONE, OTHER], [*GOOD, GOOD[0]], OPEN)
    assert found(report) == set()
    assert report.outcomes == {"created": 2}
    assert report.counts == {
        "submitted": 2,
        "came out": 3,
        "repeated": 1,
        "conversations": 2,
        "second conversations": 0,
    }


def test_a_message_without_an_outcome_is_lost() -> None:
    """Its conversation, if there is one, was reported to nobody."""
    assert found(audit([ONE, OTHER], GOOD[:1], OPEN[:1])) == {"lost"}
    assert found(audit([ONE, OTHER], GOOD[:1], OPEN)) == {"lost", "unreported"}


def test_two_outcomes_that_differ_contradict_one_another() -> None:
    """Another conversation, or a failure beside a result."""
    failed = [*GOOD, dead_letter(ONE, "in_doubt")]
    assert found(audit([ONE, OTHER], failed, OPEN)) == {"contradictory"}
    another = [*GOOD, result(ONE, "b")]
    assert found(audit([ONE, OTHER], another, OPEN)) == {"contradictory", "misattributed"}


def test_of_two_contents_under_one_id_one_is_a_conflict() -> None:
    """Both of them done is a contradiction."""
    document = {**(ONE.document or {}), "metadata": {"other": True}}
    again = replace(ONE, document=document, body=json.dumps(document).encode())
    allowed = ONE.outcomes | {"conflict"}
    sent = [replace(ONE, outcomes=allowed), replace(again, outcomes=allowed)]
    fine = [GOOD[0], dead_letter(again, "conflict")]
    assert found(audit(sent, fine, OPEN[:1])) == set()
    assert found(audit(sent, [GOOD[0], result(again, "a")], OPEN[:1])) == {"contradictory"}


def test_a_second_conversation_is_found() -> None:
    """With the rule it is a fault, without it and with repeats it is counted."""
    twice = [*OPEN, conversation(ONE, "c")]
    assert found(audit([ONE, OTHER], GOOD, twice)) == {"second conversation", "unreported"}
    chosen = audit([ONE, OTHER], GOOD, twice, one_open_rule=False)
    assert (found(chosen), chosen.counts["second conversations"]) == (set(), 1)
    forbidden = audit([ONE, OTHER], GOOD, twice, one_open_rule=False, may_repeat=False)
    assert "second conversation" in found(forbidden)


def test_a_result_names_the_conversation_of_its_job() -> None:
    """Not one that does not exist, nor one that another job opened."""
    assert "misattributed" in found(audit([ONE], [result(ONE, "x")], OPEN[:1]))
    foreign = conversation(ONE, "a", clientProperties={"appId": OTHER.job_id})
    assert "misattributed" in found(audit([ONE, OTHER], GOOD, [foreign, OPEN[1]]))


def test_a_conversation_in_doubt_is_reported_as_such() -> None:
    """Nobody knows its id, and the dead letter says so; exhausted retries say otherwise."""
    doubt = [dead_letter(ONE, "in_doubt"), GOOD[1]]
    assert found(audit([ONE, OTHER], doubt, OPEN)) == set()
    exhausted = [dead_letter(ONE, "retries_exhausted"), GOOD[1]]
    assert found(audit([ONE, OTHER], exhausted, OPEN)) == {"unreported"}


def test_an_outcome_has_to_fit_its_message() -> None:
    """A plain job of a consumer of its own cannot be open already."""
    report = audit([ONE, OTHER], [dead_letter(ONE, "already_open"), GOOD[1]], OPEN[1:])
    assert found(report) == {"unexplained"}


def test_a_conversation_before_its_time_is_found() -> None:
    """`notBefore` is kept to."""
    later = replace(ONE, not_before=utc_now() + timedelta(minutes=1))
    assert found(audit([later, OTHER], GOOD, OPEN)) == {"too early"}


def test_a_conversation_after_its_time_is_found() -> None:
    """`expiresAt` is kept to; only a request that is on its way already may end a little later."""
    opened_at = datetime.fromisoformat(OPEN[0]["createdAt"])
    late = replace(ONE, expires_at=opened_at - timedelta(minutes=1))
    assert found(audit([late, OTHER], GOOD, OPEN)) == {"too late"}
    just = replace(ONE, expires_at=opened_at - timedelta(milliseconds=200))
    assert found(audit([just, OTHER], GOOD, OPEN)) == set()


@pytest.mark.parametrize(
    "message",
    [
        replace(GOOD[0], body=ONE.body),
        replace(GOOD[0], body=b"no JSON"),
        replace(GOOD[0], type=FAILED_KEY),
        replace(GOOD[0], message_id="another"),
        replace(GOOD[0], content_type="text/plain"),
        dead_letter(replace(ONE, document={"jobId": "never sent"}), "expired"),
    ],
)
def test_messages_out_are_as_documented(message: Received) -> None:
    """What a broker gave up, what nobody submitted, or what is addressed wrongly, is found."""
    assert "stray" in found(audit([ONE, OTHER], [*GOOD, message], OPEN))


def test_every_malformed_message_is_told_from_every_other() -> None:
    """Each dead letter answers exactly the bytes that were sent."""
    sent = malformed(400, 0, random.Random(3), lists=True)
    assert len({one.body for one in sent}) == 400
    letters = []
    for one in sent:
        outcome = refused(one.body, "a reason")
        message = _received(DEAD_LETTERS_QUEUE, outcome.body, outcome.message_id, FAILED_KEY)
        letters.append(replace(message, message_id=one.job_id or message.message_id))
    report = audit(sent, letters, [])
    assert found(report) == set()
    assert report.outcomes == {"malformed_message": 400}
    assert len(audit(sent, letters[1:], []).faults["lost"]) == 1
