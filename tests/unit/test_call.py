"""Outcomes as calls of a Celery task: as Celery itself would write them, and read back."""

from __future__ import annotations

import json

import pytest
from celery import Celery

from console.admin.dead_letters import read_dead
from tasks.messages.call import argument_of, read_outcome
from tasks.messages.fields.examples import EXAMPLES
from tasks.messages.json_text import MAX_DEPTH, dumps_compact
from tasks.messages.outcome import Outcome, malformed, shortened


def outcome(document: object, key: str = "conversation.created") -> Outcome:
    return Outcome(
        message_id="order-1",
        account_id="1",
        routing_key=key,
        body=dumps_compact(document),
        counter="created",
    )


def test_a_call_is_what_celery_would_have_sent() -> None:
    """Address, id and type stay; nothing is in it that Celery does not write."""
    result = {"jobId": "order-1", "metadata": {"text": "grüß dich"}}
    plain, call = outcome(result).outgoing(), outcome(result).outgoing("sender.send")
    with Celery(set_as_current=False) as app:
        written = app.amqp.as_task_v2("order-1", "sender.send", args=(result,))
    assert json.loads(call.body) == json.loads(json.dumps(written.body))
    assert call.headers.items() <= {**written.headers, **SHOWS_NO_ARGUMENTS}.items()
    for name in ("exchange", "routing_key", "message_id", "type", "content_type"):
        assert getattr(call, name) == getattr(plain, name)


SHOWS_NO_ARGUMENTS = {"argsrepr": "", "kwargsrepr": "", "origin": "overture"}


@pytest.mark.parametrize("task", [None, "sender.send"])
def test_an_outcome_is_read_in_either_form(task: str | None) -> None:
    """Also as deep as a job may be nested, within its dead letter."""
    job: object = {}
    for _ in range(MAX_DEPTH - 1):
        job = {"a": job}
    letter = {**EXAMPLES["dead-letter"][0], "job": job}
    for document in (EXAMPLES["result"][0], letter):
        assert read_outcome(outcome(document).outgoing(task).body) == document


def test_what_is_no_call_is_itself() -> None:
    """Lists that others put on the queue are no outcomes, and stay what they are."""
    odd: list[object] = [[], [[]], [[1, 2], {}], [1, {}], [[1], 2], {"task": "x"}]
    for document in odd:
        assert argument_of(document) is document


def test_a_dead_letter_in_a_call_is_read_and_cut() -> None:
    """It fits as its plain form would, and is a call still."""
    whole = malformed(b"x" * 10_000, "no job").outgoing("letters.take")
    cut = shortened(whole, most=2000)
    assert cut is not None
    assert (len(cut.body) <= 2000, cut.headers) == (True, whole.headers)
    assert isinstance(json.loads(cut.body), list)
    assert read_dead(cut.body, cut.headers).job_id == cut.message_id
    assert read_dead(cut.body, cut.headers).document["rawBytes"] == 10_000
