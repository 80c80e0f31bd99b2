"""Asking for an AppJWT: how it is asked, and what every answer means."""

from traceback import walk_tb
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from tasks.liveperson.answer import Kind
from tasks.liveperson.app_tokens import Sentinel
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.domains import Domains, Services
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent
from tasks.liveperson.tokens import TokenFailure
from tests.unit.liveperson.scripted import ACCOUNT, ScriptedHttp, jwt, response

SECRET = "s3cr3t & more/ü"
TOKEN = jwt(exp=2)
HOST = response(200, {"baseURI": "va.sentinel.liveperson.net"})


def sentinel(*answers: HttpResponse | NotSent | FateUnknown) -> tuple[Sentinel, ScriptedHttp]:
    http = ScriptedHttp([HOST, *answers])
    domains = Domains(
        http,
        account_id=ACCOUNT,
        domain_api_url="https://api.liveperson.net",
        trusted_hosts=[".liveperson.net"],
    )
    built = Sentinel(
        Services(http, domains),
        account_id=ACCOUNT,
        credentials=Credentials("app-1", SecretStr(SECRET)),
    )
    return built, http


def test_the_call_is_the_documented_one() -> None:
    """The secret stands in the form and nowhere else."""
    built, http = sentinel(response(200, {"access_token": TOKEN, "token_type": "Bearer"}))
    assert built.ask() == TOKEN
    call = http.calls[1]
    assert (call.method, call.url.split("?")) == (
        "POST",
        [
            "https://va.sentinel.liveperson.net/sentinel/api/account/12345678/app/token",
            "v=1.0&grant_type=client_credentials",
        ],
    )
    assert call.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert call.body is not None
    assert parse_qs(call.body.decode()) == {"client_id": ["app-1"], "client_secret": [SECRET]}


@pytest.mark.parametrize(
    ("answer", "kind", "http_status", "retry_after"),
    [
        (response(401, {"error": "invalid_client"}), Kind.CREDENTIALS, 401, None),
        (response(400, {"error": "invalid_grant"}), Kind.CREDENTIALS, 400, None),
        (response(403), Kind.CREDENTIALS, 403, None),
        (response(451), Kind.CREDENTIALS, 451, None),
        (response(400, b""), Kind.CREDENTIALS, 400, None),
        (response(404), Kind.NOT_SENT, 404, None),
        (response(404, {"error": "not_found"}), Kind.NOT_SERVED, 404, None),
        (response(403, b"<html>firewall</html>"), Kind.NOT_SENT, 403, None),
        (response(403, {"policy": 17}), Kind.NOT_SENT, 403, None),
        (response(429, b"", Retry_After="12"), Kind.THROTTLED, 429, 12.0),
        (response(503, b"", Retry_After="3"), Kind.NOT_SENT, 503, 3.0),
        (response(302), Kind.NOT_SENT, 302, None),
        (response(200), Kind.NOT_SENT, 200, None),
        (response(200, {"access_token": ""}), Kind.NOT_SENT, 200, None),
        (response(204, {"access_token": TOKEN}), Kind.NOT_SENT, 204, None),
        (NotSent("cannot connect"), Kind.NOT_SENT, None, None),
        (FateUnknown("silence"), Kind.NOT_SENT, None, None),
    ],
)
def test_every_failure_leaves_no_doubt(
    answer: HttpResponse | NotSent | FateUnknown,
    kind: Kind,
    http_status: int | None,
    retry_after: float | None,
) -> None:
    """Asking for a token opens no conversation, so no failure of it is UNKNOWN."""
    built, _http = sentinel(answer)
    with pytest.raises(TokenFailure, match=r"^sentinel") as caught:
        built.ask()
    found = caught.value.answer
    assert (kind, http_status, retry_after) == (found.kind, found.http_status, found.retry_after)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": "invalid_client", "error_description": f"no client with secret {SECRET}"},
        {"error": "s3cr3t+%26+more%2F%C3%BC is wrong", "token": TOKEN},
    ],
)
def test_the_secret_is_in_no_error(body: Any) -> None:
    """Not even where the server gives it back."""
    built, _http = sentinel(response(401, body))
    with pytest.raises(TokenFailure) as caught:
        built.ask()
    for text in (str(caught.value), repr(caught.value), repr(caught.value.answer)):
        assert "s3cr3t" not in text
        assert TOKEN not in text
    assert "[secret]" in str(caught.value)
    here = caught.value.__traceback__
    for frame, _line in walk_tb(here and here.tb_next):
        assert SECRET not in repr(frame.f_locals)
