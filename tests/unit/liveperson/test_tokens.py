"""What is read from a token, and what is never shown of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.liveperson.tokens import Tokens, claims, token_in, validity
from tests.unit.liveperson.scripted import jwt, response

BODIES = Path(__file__).parents[2] / "bodies"


def documented(name: str) -> Any:
    return json.loads((BODIES / f"{name}.json").read_text(encoding="utf-8"))


def test_the_documented_app_jwt_lasts_an_hour() -> None:
    """Its times are read from the payload of LivePerson's sample."""
    payload = documented("resp_33_appjwt_decoded")["payload"]
    token = jwt(**payload)
    assert claims(token) == payload
    assert validity(token) == (1524642670, 1524646270)


def test_the_documented_consumer_jws_names_the_consumer_and_has_no_end() -> None:
    """LivePerson's own id of the consumer is read, not computed."""
    payload = documented("resp_35_consumerjws_decoded")["payload"]
    token = jwt(**payload)
    assert claims(token)["lp_consumer_id"] == payload["lp_consumer_id"]
    assert validity(token) is None


@pytest.mark.parametrize("name", ["resp_32_appjwt", "resp_34_consumerjws"])
def test_tokens_are_found_in_the_documented_answers(name: str) -> None:
    """`access_token` at sentinel, `token` at idp."""
    document = documented(name)
    field = "access_token" if "access_token" in document else "token"
    assert token_in(response(200, document), field) == "{header}.{payload}.{signature}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        [],
        {},
        {"token": ""},
        {"token": None},
        {"token": 7},
        {"token": "two words"},
        {"token": "line\r\nX-Other: 1"},
        {"token": "ü"},
        {"token": "t" * 16385},
    ],
)
def test_what_cannot_be_a_header_is_no_token(body: Any) -> None:
    """A token is one printable word, so it can neither break a header nor add one."""
    assert token_in(response(201, body), "token") is None


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "..", "a.!!!.c", "a.bnVsbA.c", "ü.ü.ü"])
def test_what_is_no_jwt_has_no_claims(token: str) -> None:
    """An opaque token is a token all the same."""
    assert claims(token) == {}
    assert validity(token) is None


@given(st.text())
def test_any_text_can_be_asked_for_claims(token: str) -> None:
    """Nothing that calls itself a token raises."""
    validity(token)


@pytest.mark.parametrize(
    "times",
    [
        {"iat": 10},
        {"exp": 10},
        {"iat": 10, "exp": 10},
        {"iat": 20, "exp": 10},
        {"iat": 0, "exp": 1e12},
        {"iat": "0", "exp": "3600"},
        {"iat": 0, "exp": float("nan")},
        {"iat": 0, "exp": float("inf")},
    ],
)
def test_times_that_make_no_sense_are_not_believed(times: dict[str, Any]) -> None:
    """Without sensible times the documented hour is assumed elsewhere."""
    assert validity(jwt(**times)) is None


def test_tokens_show_nothing() -> None:
    """Neither repr nor str of what holds tokens can end up as a leak in a log."""
    tokens = Tokens("c-1", "app.jwt.x", "consumer.jws.y", "29caf0")
    for shown in (repr(tokens), str(tokens), f"{tokens}", f"{[tokens]}"):
        assert not any(secret in shown for secret in ("c-1", "app", "consumer", "29caf0"))


def test_the_longest_consumer_id_has_a_token_that_can_be_sent() -> None:
    """512 characters beyond the first plane, each escaped as a pair."""
    token = jwt(ext_consumer_id="\U0001f600" * 512)
    assert len(token) > 8192
    assert token_in(response(201, {"token": token}), "token") == token
