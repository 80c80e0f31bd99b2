"""The records of finished jobs: small, and made again to the byte."""

from __future__ import annotations

import random
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.messages.attempt import Attempt
from tasks.messages.dead_letter import ERROR_CODES
from tasks.messages.job import Job, parse_job
from tasks.messages.outcome import Outcome, failed, opened
from tasks.messages.outgoing import now
from tasks.store.finished import (
    Unreadable,
    pack,
    read,
    read_note,
    squeeze,
    stretch,
    unpack,
    write_note,
)
from tests.jobs import ACCOUNT, make_job

SEEN = 1_795_000_000_123
HEAD = b"d" + SEEN.to_bytes(6, "big")

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
METADATA = st.dictionaries(TEXT, VALUE, max_size=4)
ID = st.uuids().map(str) | st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40
)
DOCUMENT = st.fixed_dictionaries(
    {"jobId": ID, "consumerId": ID},
    optional={
        "metadata": METADATA,
        "submissionId": ID,
        "onOpenConversation": st.sampled_from(["fail", "reuse"]),
        "clientProperties": st.fixed_dictionaries(
            {}, optional={"appId": TEXT, "ipAddress": st.just("127.0.0.1")}
        ),
        "notBefore": st.just("2026-01-31T09:00:00.000+01:00"),
        "conversation": st.fixed_dictionaries(
            {},
            optional={
                "skillId": st.sampled_from(["123", 123]),
                "campaignInfo": st.just({"engagementId": "2", "campaignId": 1}),
                "conversationContext": st.just(
                    {"type": "SharkContext", "visitorId": "v", "lang": "en-US", "sessionId": "s"}
                ),
            },
        ),
    },
)
ATTEMPTS = st.lists(
    st.builds(
        Attempt,
        at=st.just("2026-01-31T09:00:00.001Z"),
        http_status=st.none() | st.integers(200, 599),
        outcome=st.sampled_from(["unknown", "rejected", "throttled"]),
        cause=TEXT,
    ),
    max_size=3,
)
TRACE = st.dictionaries(
    st.sampled_from(["traceparent", "tracestate"]),
    st.builds(lambda one: f"00-{one.hex}-{one.hex[:16]}-01", st.uuids()) | TEXT,
)


def parse(document: dict[str, Any]) -> Job:
    return parse_job(document, accounts={ACCOUNT})


@st.composite
def outcomes(draw: st.DrawFn, document: dict[str, Any]) -> Outcome:
    job, trace = parse(document), draw(TRACE)
    if draw(st.booleans()):
        return failed(
            job,
            document,
            code=draw(st.sampled_from([code for code in ERROR_CODES if code != "conflict"])),
            message=draw(TEXT),
            http_status=draw(st.none() | st.integers(200, 599)),
            attempts=draw(ATTEMPTS),
            trace=trace,
        )
    engaged = {"campaignInfo": {"campaignId": "9"}, "conversationContext": {"type": "SharkContext"}}
    return opened(
        job,
        status=draw(st.sampled_from(["created", "reused"])),
        conversation_id=draw(ID),
        lp_consumer_id=draw(st.none() | ID | st.binary(min_size=32, max_size=32).map(bytes.hex)),
        attempts=draw(st.integers(1, 9)),
        enqueued_at=draw(st.sampled_from([now(), "2026-01-31T09:00:00+01:00", "x"])),
        resolved_by=draw(st.none() | st.just("monitoring")),
        conversation=draw(st.sampled_from([job.conversation, {**job.conversation, **engaged}])),
        opened_with=draw(st.none() | METADATA),
        trace=trace,
    )


def shuffled(value: Any, order: random.Random) -> Any:
    """Write an object's keys in another order, at every level."""
    if isinstance(value, list):
        return [shuffled(one, order) for one in value]
    if not isinstance(value, dict):
        return value
    names = order.sample(sorted(value), len(value))
    return {name: shuffled(value[name], order) for name in names}


@given(data=st.data(), document=DOCUMENT)
def test_an_outcome_is_made_again_to_the_byte(
    data: st.DataObject, document: dict[str, Any]
) -> None:
    """By any delivery of the same job, however it is written and whatever labels it bears."""
    outcome = data.draw(outcomes(document))
    record = HEAD + pack(parse(document), outcome)
    order = random.Random(data.draw(st.integers()))
    again = shuffled({"accountId": ACCOUNT, "priority": 0, **document}, order)
    again["submissionId"] = "another"
    if "notBefore" in again:
        again["notBefore"] = "2026-01-31T08:00:00Z"
    for job in (parse(document), parse(again)):
        assert unpack(job, record) == replace(outcome, counter="replayed", created_id="")


@given(body=st.binary(max_size=300), routing_key=TEXT)
def test_any_bytes_are_made_again(body: bytes, routing_key: str) -> None:
    """Whatever they are; and under the key that they were published with."""
    outcome = Outcome(
        message_id="job-1",
        account_id=ACCOUNT,
        routing_key=routing_key,
        body=body,
        counter="created",
    )
    found = unpack(make_job(), HEAD + pack(make_job(), outcome))
    assert found is not None
    assert (found.body, found.routing_key) == (body, routing_key)


@given(text=st.text(st.sampled_from("0123456789abcdef-T:.Z2"), max_size=80) | TEXT)
def test_what_is_squeezed_is_stretched_to_what_it_was(text: str) -> None:
    """Days and hours that there are not, upper case, and ends of longer numbers included."""
    cases = [
        text,
        f"2026-02-31T09:00:00.000Z{text}",
        f"2026-02-28T24:00:60.000Z{text}",
        f"{text}2026-02-28T23:00:59.999Z",
        f"{text}{uuid.UUID(int=7)}{text}",
        str(uuid.UUID(int=2**128 - 1)).upper() + text,
    ]
    for case in cases:
        printable = "".join(one for one in case if one >= " ").encode()
        assert stretch(squeeze(printable)) == printable


def test_the_notes_of_a_job_have_the_same_names_in_every_version() -> None:
    """A note that an earlier version wrote is found by the name that this one makes."""
    one, moment = uuid.UUID(int=7), "2026-02-28T23:00:59.999Z"
    number = bytes(15) + b"\x07"
    milliseconds = b"\x01\x9c\xa6\x7b\xd7\xdf"
    notes = {
        f"order-{one}": b'"order-\x00' + number + b'"',
        f"{one}{one}x{moment}": b'"\x00'
        + number
        + b"\x00"
        + number
        + b"x\x01"
        + milliseconds
        + b'"',
        f"f{'0' * 31}-{moment}.": b'"\x03\xf0' + bytes(15) + b"-\x01" + milliseconds + b'."',
        f"T:.{'ab' * 32}cd": b'"T:.\x02' + b"\xab" * 32 + b'cd"',
        "a short 0123456789abcde": b'"a short 0123456789abcde"',
    }
    for job_id, note in notes.items():
        assert write_note(job_id) == note
        assert read_note(note) == job_id


def test_a_record_tells_by_itself_what_became_of_a_job() -> None:
    """Also what a conversation was opened with, which a job that reuses it does not know."""
    job = make_job(clientProperties={"appId": "shop"}, metadata={"order": 1}, submissionId="s-1")
    found = read(HEAD + pack(job, result(job)))
    assert (found.state, found.seen) == ("done", SEEN)
    assert found.is_of(job.digest)
    assert found.message is not None
    assert found.message["conversationId"] == CONVERSATION
    assert found.message["clientProperties"] == {"type": ".ClientProperties", "appId": "shop"}
    assert found.message["submissionId"] == "s-1"
    assert read(b"p" + HEAD[1:] + pack(job, result(job))).state == "published"


def test_the_record_of_other_content_makes_nothing() -> None:
    """It is another job's, which had the id first."""
    job, other = make_job(), make_job(metadata={"order": 2})
    assert unpack(other, HEAD + pack(job, result(job))) is None


def test_what_is_damaged_is_not_published() -> None:
    """Whichever byte it is; an error of our own sends the job back instead."""
    job = make_job(metadata={"b": 1, "a": 2})
    outcome = result(job)
    record = HEAD + pack(job, outcome)
    for at in range(len(HEAD) + 12, len(record)):
        damaged = bytearray(record)
        damaged[at] ^= 1
        with suppress(Unreadable):
            found = unpack(job, bytes(damaged))
            assert found == replace(outcome, counter="replayed", created_id="")


CONVERSATION = "8602832d-1c5f-4a8e-9a0b-0c6f3d2e1a11"


def result(job: Job) -> Outcome:
    return opened(
        job,
        status="created",
        conversation_id=CONVERSATION,
        lp_consumer_id="ab" * 32,
        attempts=1,
        enqueued_at="2026-01-31T09:00:00.000Z",
        resolved_by=None,
        conversation=job.conversation,
    )
