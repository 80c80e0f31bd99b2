"""Reading messages: Celery's two protocols, the bare job, and everything that is none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.messages.dead_letter import Cut
from tasks.messages.intake import Contents, Malformed, Received, read

JOB = {"jobId": "order-1", "consumerId": "c-1"}
EMBED: dict[str, object] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
PROTOCOL_2 = {"lang": "py", "task": "conversations.create", "id": "1", "eta": None}
MAX_BYTES = 10_000


def received(
    body: object,
    *,
    headers: dict[str, object] | None = None,
    content_type: str = "application/json",
    encoding: str = "utf-8",
) -> Received:
    """Make a message as a broker hands it over."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Received(
        body=data, headers=headers or {}, content_type=content_type, content_encoding=encoding
    )


READABLE = [
    ("bare", received(JOB)),
    ("bare, no content type", received(JOB, content_type="", encoding="")),
    ("bare, as binary", received(JOB, content_type="application/octet-stream", encoding="binary")),
    ("bare, cloud event type", received(JOB, content_type="application/vnd.x+json; charset=utf-8")),
    ("protocol 2", received([[JOB], {}, EMBED], headers=dict(PROTOCOL_2))),
    ("protocol 2, by keyword", received([[], {"job": JOB}, EMBED], headers=dict(PROTOCOL_2))),
    ("protocol 1", received({"task": "conversations.create", "id": "1", "args": [JOB]})),
    (
        "protocol 1, whole",
        received({"task": "conversations.create", "id": "1", "args": [JOB], "kwargs": {}}),
    ),
]


@pytest.mark.parametrize("message", [m for _, m in READABLE], ids=[name for name, _ in READABLE])
def test_a_job_is_read(message: Received) -> None:
    """Whichever way it was sent."""
    assert read(message, max_bytes=MAX_BYTES).document == JOB


def test_what_is_no_object_is_left_to_the_job_reader() -> None:
    """A list is JSON, though no job: it gets the job's own error."""
    assert read(received([1, 2]), max_bytes=MAX_BYTES) == Contents(document=[1, 2])


@pytest.mark.parametrize("protocol", [1, 2])
def test_celerys_eta_and_expires_are_kept(protocol: int) -> None:
    """`send_task(countdown=…, expires=…)` means what it says."""
    times = {"eta": "2026-11-23T10:00:00+00:00", "expires": "2026-11-23T11:00:00+00:00"}
    if protocol == 2:
        message = received([[JOB], {}, EMBED], headers={**PROTOCOL_2, **times})
    else:
        message = received({"task": "conversations.create", "id": "1", "args": [JOB], **times})
    order = read(message, max_bytes=MAX_BYTES)
    assert (order.eta, order.expires) == (times["eta"], times["expires"])


@pytest.mark.parametrize("task", [17, None, b"\xff", ["x"], {"a": 1}, 1.5, "import-7", ""])
def test_headers_are_not_the_job(task: object) -> None:
    """One that Celery did not write means nothing; nor does what stands in its times."""
    odd = {"task": task, "eta": 5, "expires": b"\xff", "timelimit": "never"}
    assert read(received(JOB, headers=odd), max_bytes=MAX_BYTES) == Contents(document=JOB)


SIGNATURE = {"task": "sender.send", "args": [], "kwargs": {}}
CALLBACKS = [
    ("callbacks", "link"),
    ("errbacks", "link_error"),
    ("chain", "chain"),
    ("chord", "chord"),
]


@pytest.mark.parametrize(("field", "name"), CALLBACKS)
@pytest.mark.parametrize("protocol", [1, 2])
def test_celerys_callbacks_are_named(field: str, name: str, protocol: int) -> None:
    """Each by the name under which a producer asked for it."""
    asked: dict[str, object] = {field: [SIGNATURE]}
    if protocol == 2:
        message = received([[JOB], {}, EMBED | asked], headers=dict(PROTOCOL_2))
    else:
        message = received({"task": "conversations.create", "id": "1", "args": [JOB], **asked})
    found = read(message, max_bytes=MAX_BYTES)
    assert (found.document, found.callbacks) == (JOB, (name,))


def test_to_be_one_of_a_group_is_no_callback() -> None:
    """Nothing is to happen after it."""
    headers: dict[str, object] = {**PROTOCOL_2, "group": "a-group", "group_index": 1}
    assert not read(received([[JOB], {}, EMBED], headers=headers), max_bytes=MAX_BYTES).callbacks
    member = {"task": "conversations.create", "args": [JOB], "taskset": "a-group", "chord": None}
    assert not read(received(member), max_bytes=MAX_BYTES).callbacks


def test_what_is_known_of_a_message_is_the_reason() -> None:
    """Of one that was cut, or out of which nothing could be taken."""
    whole = replace(received(JOB), cut=Cut(size=99, sha256="ab"))
    with pytest.raises(Malformed, match=r"99 bytes long.*ab"):
        read(whole, max_bytes=MAX_BYTES)
    with pytest.raises(Malformed, match=r"^because$"):
        read(replace(received(JOB), fault="because"), max_bytes=MAX_BYTES)
    with pytest.raises(Malformed, match=r"not JSON.*; left out: header 'compression'$"):
        read(replace(received(b"x"), left_out=("header 'compression'",)), max_bytes=MAX_BYTES)


DEEP = b"[" * 100_000
UNREADABLE = [
    ("not JSON", received(b"{nope"), "not JSON"),
    ("empty", received(b""), "empty"),
    ("not UTF-8", received(b'{"jobId": "\xff"}'), "not UTF-8"),
    ("NaN", received(b'{"jobId": NaN}'), "NaN"),
    ("a key twice", received(b'{"jobId": "a", "jobId": "b"}'), "jobId"),
    ("deep", received(b'{"a":' * 200 + b"1" + b"}" * 200), "deep"),
    ("very deep", received(DEEP), "bytes"),
    ("large", received(b'"' + b"x" * MAX_BYTES + b'"'), "bytes"),
    ("pickle", received(b"\x80\x04.", content_type="application/x-python-serialize"), "x-python-"),
    ("yaml", received(b"a: 1", content_type="application/x-yaml"), "yaml"),
    ("utf-16", received(JOB, encoding="utf-16"), "utf-16"),
    ("unknown task", received([[JOB], {}, EMBED], headers={"task": "other.task"}), "other.task"),
    ("unknown task, protocol 1", received({"task": "x", "id": "1", "args": [JOB]}), "'x'"),
    ("no arguments", received([[], {}, EMBED], headers=dict(PROTOCOL_2)), "one argument"),
    ("two arguments", received([[JOB, JOB], {}, EMBED], headers=dict(PROTOCOL_2)), "one argument"),
    (
        "other keywords",
        received([[JOB], {"x": 1}, EMBED], headers=dict(PROTOCOL_2)),
        "one argument",
    ),
    ("not Celery's body", received({"a": 1}, headers=dict(PROTOCOL_2)), "[args, kwargs, embed]"),
    ("args no list", received({"task": "conversations.create", "args": "x"}), "args is not a list"),
]


@pytest.mark.parametrize(
    ("message", "said"), [(m, s) for _, m, s in UNREADABLE], ids=[name for name, _, _ in UNREADABLE]
)
def test_what_is_no_job_is_said_in_one_sentence(message: Received, said: str) -> None:
    """The reason names what is wrong."""
    with pytest.raises(Malformed) as caught:
        read(message, max_bytes=MAX_BYTES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    body=st.binary(max_size=400) | st.text(max_size=100).map(str.encode),
    task=st.none() | st.text(max_size=30) | st.just("conversations.create"),
    content_type=st.sampled_from(["application/json", "", "text/plain", "application/x-yaml"]),
)
def test_any_bytes_are_an_order_or_malformed(
    body: bytes, task: str | None, content_type: str
) -> None:
    """Nothing else comes out, whatever goes in."""
    headers: dict[str, object] = {} if task is None else {"task": task}
    try:
        order = read(
            received(body, headers=headers, content_type=content_type), max_bytes=MAX_BYTES
        )
    except Malformed as error:
        assert str(error)
    else:
        assert isinstance(order, Contents)
