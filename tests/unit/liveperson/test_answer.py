"""What it means that a call got no answer, or one that was not asked for."""

from typing import Any

import pytest

from tasks.liveperson.answer import (
    CAUSE_CHARS,
    Answer,
    DomainUnknown,
    Kind,
    cause_of,
    is_page,
    no_answer,
    refusal,
)
from tasks.liveperson.domains import UntrustedHost
from tasks.liveperson.http import FateUnknown, NotSent
from tests.unit.liveperson.scripted import jwt, response

PLACE = "idp va.idp.liveperson.net"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (NotSent("cannot connect to a.example"), "idp: cannot connect to a.example"),
        (FateUnknown("silence"), "idp va.idp.liveperson.net: silence"),
        (UntrustedHost("evil.example"), "idp: evil.example"),
    ],
)
def test_no_answer_leaves_no_doubt(error: NotSent | FateUnknown, cause: str) -> None:
    """And says what happened, and where."""
    answer = no_answer(PLACE, error)
    expected = Answer(kind=Kind.NOT_SENT, message=f"idp: {error}", cause=cause)
    assert answer == expected


def test_the_domain_apis_answer_stands_for_that_of_the_call() -> None:
    """Without a host there is nothing to ask; what it said, and its pause, are kept."""
    said = Answer(
        kind=Kind.CREDENTIALS,
        http_status=401,
        message="the Domain API says no",
        cause="Domain API api.liveperson.net: HTTP 401",
        retry_after=7.0,
    )
    answer = no_answer("idp", DomainUnknown(said))
    assert answer.message == "idp: the Domain API says no"
    assert (answer.kind, answer.cause, answer.retry_after) == (said.kind, said.cause, 7.0)


SAID = {"error": "invalid_client"}
ERROR = {"code": 400, "body": {"title": "Bad", "errorCode": 40000}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        *((status, SAID, Kind.CREDENTIALS) for status in (401, 403, 451)),
        *((status, b"", Kind.CREDENTIALS) for status in (401, 403, 451)),
        *((status, b"<html></html>", Kind.NOT_SENT) for status in (400, 401, 403, 404, 407, 451)),
        *((status, {"policy": 1}, Kind.NOT_SENT) for status in (400, 401, 403, 404, 410)),
        *((status, b"", Kind.NOT_SENT) for status in (400, 404, 405, 407, 410)),
        *((status, ERROR, Kind.REJECTED) for status in (400, 409, 413, 422)),
        *((status, ERROR, Kind.NOT_SERVED) for status in (402, 404, 405, 410)),
        (429, b"", Kind.THROTTLED),
        *((status, ERROR, Kind.NOT_SENT) for status in (200, 302, 408, 500, 503)),
    ],
)
def test_a_refusal_is_the_jobs_the_accounts_or_the_ways(status: int, body: Any, kind: Kind) -> None:
    """A 4xx without a shape that LivePerson's have came from a proxy or a firewall."""
    assert refusal(PLACE, response(status, body)).kind is kind


@pytest.mark.parametrize("status", [200, 302, 307])
def test_a_sign_in_page_or_a_redirect_is_not_livepersons(status: int) -> None:
    """Whoever asks gets it, so that it counts as a firewall's refusal does, and is called so."""
    page = refusal(PLACE, response(status, b"<html>Sign in</html>"))
    assert page.cause == f"{PLACE}: HTTP {status}, a page that is not LivePerson's"
    assert is_page(Kind.NOT_SENT, status)
    assert not is_page(Kind.NOT_SENT, 503)


def test_a_cause_names_service_host_and_status() -> None:
    """One bounded line without a token, whatever the error says."""
    page = refusal(PLACE, response(403, b"<html></html>"))
    assert page.cause == f"{PLACE}: HTTP 403, a page that is not LivePerson's"
    coded = refusal(PLACE, response(400, ERROR))
    assert coded.cause == f"{PLACE}: HTTP 400 (40000)"
    secret = cause_of(PLACE, f"sent {jwt(a=1)} to\nthem " + "x" * 500)
    assert secret.startswith(f"{PLACE}: sent [token] to them x")
    assert len(secret) == CAUSE_CHARS
