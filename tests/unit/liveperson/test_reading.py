"""Reading what servers say: bounded, printable, without tokens, whatever comes."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from tasks.liveperson import reading
from tests.unit.liveperson.scripted import jwt

SERVER_TIME = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        (format_datetime(SERVER_TIME + timedelta(seconds=30), usegmt=True), 30.0),
        ("Tuesday, 01-Jan-30 12:00:10 GMT", 10.0),
        ("Tue Jan  1 12:00:20 2030", 20.0),
        (format_datetime(SERVER_TIME - timedelta(days=1), usegmt=True), 0.0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("٣", None),
        ("9" * 400, None),
        ("Tue, 99 Foo 2030 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    """Both forms of RFC 9110 are read, the date against the server's own clock."""
    headers = HTTPHeaderDict(
        {"retry-after": value, "date": format_datetime(SERVER_TIME, usegmt=True)}
    )
    assert expected == reading.retry_after(headers)


def test_a_retry_date_without_a_date_header_goes_by_our_clock() -> None:
    """Where the server does not tell its time, ours has to do."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    seconds = reading.retry_after({"Retry-After": soon})
    assert seconds is not None
    assert 90 < seconds <= 100


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"body": {"title": "Invalid AppJWT", "details": "expired"}}, "Invalid AppJWT: expired"),
        ({"body": {"msg": "Bad Request"}}, "Bad Request"),
        ({"body": "Bad Request"}, "Bad Request"),
        ("Bad Request", "Bad Request"),
        (
            {"error": "invalid_client", "error_description": "Client authentication failed"},
            "invalid_client: Client authentication failed",
        ),
        ({"time": 1, "message": "Invalid data", "internalCode": 5}, "Invalid data"),
        ({"title": "Same", "details": "Same"}, "Same"),
        ({"title": 7, "msg": None, "body": [1]}, ""),
        (None, ""),
        (7, ""),
        ([], ""),
    ],
)
def test_what_error_bodies_say(part: Any, expected: str) -> None:
    """LivePerson's errors, OAuth's and Monitoring's are all put into one line."""
    assert expected == reading.said(part)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"body": {"errorCode": 40102}}, 40102),
        ({"body": {"errorCode": "40102"}}, 40102),
        ({"internalCode": 38}, 38),
        ({"errorCode": "x"}, None),
        ({"errorCode": -1}, None),
        ({"errorCode": 10**30}, None),
        ({"body": []}, None),
        (None, None),
        ("40102", None),
    ],
)
def test_error_codes(part: Any, expected: int | None) -> None:
    """The code is found where LivePerson puts it, as a number or as digits."""
    assert expected == reading.error_code(part)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("fdasfdas", "fdasfdas"),
        (880524023, "880524023"),
        ("c" * 256, "c" * 256),
        ("c" * 257, None),
        ("", None),
        ("two words", None),
        ("line\nbreak", None),
        ("ü", None),
        (True, None),
        (1.5, None),
        (None, None),
        ({}, None),
    ],
)
def test_identifiers(value: Any, expected: str | None) -> None:
    """Strings and numbers can be ids; what could not travel in a header or URL is none."""
    assert expected == reading.identifier(value)


def test_tokens_do_not_stay_in_a_text() -> None:
    """Known secrets and anything like a JWT are taken out of what a server says."""
    token = jwt(sub="x")
    text = f"refused {token}, Bearer {token} and s3cr3t/+, twice s3cr3t/+"
    assert reading.printable(text, "s3cr3t/+", "") == (
        "refused [token], Bearer [token] and [secret], twice [secret]"
    )


@given(st.text())
def test_texts_become_one_printable_line(text: str) -> None:
    """Whatever a server says can be logged, and put into UTF-8."""
    line = reading.printable(text)
    assert line.isprintable()
    assert len(line) <= reading.MESSAGE_CHARS
    assert line.encode("utf-8").decode("utf-8") == line


@given(st.binary())
def test_any_bytes_can_be_read(content: bytes) -> None:
    """Nothing that a server sends raises."""
    document = reading.document(content)
    reading.said(document)
    reading.error_code(document)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"msg":"caf\xe9"}', {"msg": "caf\ufffd"}),
        (b'{"msg":"caf\xc3', None),
        (b'{"msg":"caf\xc3"}', {"msg": "caf\ufffd"}),
        (b'\xef\xbb\xbf{"msg":"caf\xe9"}', {"msg": "caf\ufffd"}),
        (b"\x80", None),
    ],
)
def test_a_byte_that_is_no_utf_8_spoils_a_text_alone(body: bytes, expected: object) -> None:
    """As of a message that was cut off in the middle of a letter: the answer still counts."""
    assert reading.document(body) == expected
