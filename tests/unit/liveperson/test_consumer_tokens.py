"""The ConsumerJWS: asked for once per consumer, and kept within a bound."""

import json
from collections.abc import Iterator
from itertools import count

import pytest

from tasks.liveperson import consumer_tokens
from tasks.liveperson.answer import Kind
from tasks.liveperson.app_tokens import AppTokens, Sentinel
from tasks.liveperson.consumer_tokens import ConsumerTokens
from tasks.liveperson.domains import Domains, Services
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent
from tasks.liveperson.tokens import TokenFailure, Tokens
from tests.fakes import InMemoryTokenStore
from tests.unit.liveperson.scripted import ACCOUNT, Clock, ScriptedHttp, jwt, response

LP_CONSUMER_ID = "29caf0c11486996d9387e3a44ec34229d127304db4966d7752716bceb538fa24"
JWS = jwt(account_id=ACCOUNT, ext_consumer_id="c-1", lp_consumer_id=LP_CONSUMER_ID)
HOST = response(200, {"baseURI": "va.idp.liveperson.net"})
GIVEN = response(201, {"token": JWS})


class CountingSentinel(Sentinel):
    """Issues app-1, app-2 and so on."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = count(1)

    def ask(self) -> str:
        return f"app-{next(self._numbers)}"


def tokens(
    *answers: HttpResponse | NotSent | FateUnknown, clock: Clock | None = None
) -> tuple[ConsumerTokens, ScriptedHttp, AppTokens]:
    http = ScriptedHttp([HOST, *answers])
    domains = Domains(
        http,
        account_id=ACCOUNT,
        domain_api_url="https://api.liveperson.net",
        trusted_hosts=[".liveperson.net"],
    )
    app_tokens = AppTokens(
        CountingSentinel(), InMemoryTokenStore(), account_id=ACCOUNT, sleep=lambda _seconds: None
    )
    built = ConsumerTokens(
        Services(http, domains), app_tokens, account_id=ACCOUNT, clock=clock or Clock()
    )
    return built, http, app_tokens


def test_the_call_is_the_documented_one() -> None:
    """One field in the body, and the AppJWT bare in the header."""
    built, http, _app_tokens = tokens(GIVEN)
    assert built.get("c-1") == Tokens("c-1", "app-1", JWS, LP_CONSUMER_ID)
    call = http.calls[1]
    assert (call.method, call.url) == (
        "POST",
        "https://va.idp.liveperson.net/api/account/12345678/consumer?v=1.0",
    )
    assert call.headers == {"Content-Type": "application/json", "Authorization": "app-1"}
    assert call.body is not None
    assert json.loads(call.body) == {"ext_consumer_id": "c-1"}


def test_a_consumer_is_asked_for_once() -> None:
    """The token does not expire; a new AppJWT takes the place of the old one beside it."""
    built, http, app_tokens = tokens(GIVEN)
    first = built.get("c-1")
    app_tokens.invalidate("app-1")
    second = built.get("c-1")
    assert (first.app_jwt, second.app_jwt) == ("app-1", "app-2")
    assert first.consumer_jws == second.consumer_jws
    assert len(http.calls) == 2


def test_a_forgotten_consumer_is_asked_for_again() -> None:
    """After 40103 a new token is got, and a late refusal of the old one leaves the new one."""
    newer = jwt(lp_consumer_id=LP_CONSUMER_ID, n=2)
    built, http, _app_tokens = tokens(GIVEN, response(201, {"token": newer}))
    old = built.get("c-1")
    built.forget(old)
    assert built.get("c-1").consumer_jws == newer
    built.forget(old)
    assert built.get("c-1").consumer_jws == newer
    assert len(http.calls) == 3


def test_a_token_of_another_make_is_used_all_the_same() -> None:
    """LivePerson's id of the consumer is then not known, and nothing else is missing."""
    built, _http, _app_tokens = tokens(response(200, {"token": "opaque"}))
    assert built.get("c-1") == Tokens("c-1", "app-1", "opaque", None)


def test_the_longest_unused_consumer_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded however many consumers there are."""
    monkeypatch.setattr(consumer_tokens, "KEPT_CONSUMERS", 2)
    built, http, _app_tokens = tokens(*[GIVEN] * 4)
    for consumer_id in ("a", "b", "a", "c", "a"):
        built.get(consumer_id)
    assert len(http.calls) == 1 + 3
    built.get("b")
    assert len(http.calls) == 1 + 4


def test_a_refused_app_jwt_is_renewed_once() -> None:
    """The repeat goes out with another AppJWT."""
    built, http, _app_tokens = tokens(response(401), GIVEN)
    assert built.get("c-1").app_jwt == "app-2"
    assert [call.headers["Authorization"] for call in http.calls[1:]] == ["app-1", "app-2"]


def test_an_app_jwt_that_lacks_a_claim_is_renewed_too() -> None:
    """400 with errorCode 40001; a second one is the account's."""
    lacking = response(400, {"body": {"errorCode": 40001, "title": "Missing parameter"}})
    built, _http, _app_tokens = tokens(lacking, GIVEN)
    assert built.get("c-1").app_jwt == "app-2"
    built, _http, _app_tokens = tokens(lacking, lacking, GIVEN)
    with pytest.raises(TokenFailure) as caught:
        built.get("c-1")
    assert caught.value.answer.kind is Kind.CREDENTIALS
    assert built.get("c-1").app_jwt == "app-3"


def test_a_second_refusal_is_the_accounts() -> None:
    """A new token that is refused as well says something of the credentials."""
    refused = response(401, {"body": {"errorCode": 40102, "title": "Invalid AppJWT: app-2"}})
    built, http, _app_tokens = tokens(response(401), refused)
    with pytest.raises(TokenFailure) as caught:
        built.get("c-1")
    answer = caught.value.answer
    assert (answer.kind, answer.http_status, answer.error_code) == (Kind.CREDENTIALS, 401, 40102)
    assert answer.stale_token is None
    assert "app-2" not in answer.message
    assert len(http.calls) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "http_status"),
    [
        (response(400, {"body": {"msg": "bad id"}}), Kind.REJECTED, 400),
        (response(400, {"error": "ext_consumer_id is too long"}), Kind.REJECTED, 400),
        (response(400), Kind.NOT_SENT, 400),
        (response(403), Kind.CREDENTIALS, 403),
        (response(403, b"<html></html>"), Kind.NOT_SENT, 403),
        (response(404), Kind.NOT_SENT, 404),
        (response(429), Kind.THROTTLED, 429),
        (response(500), Kind.NOT_SENT, 500),
        (response(201), Kind.NOT_SENT, 201),
        (response(201, {"token": "line\nbreak"}), Kind.NOT_SENT, 201),
        (NotSent("cannot connect"), Kind.NOT_SENT, None),
        (FateUnknown("silence"), Kind.NOT_SENT, None),
    ],
)
def test_every_failure_leaves_no_doubt(
    answer: HttpResponse | NotSent | FateUnknown, kind: Kind, http_status: int | None
) -> None:
    """Asking for a token opens no conversation, so no failure of it is UNKNOWN."""
    built, _http, _app_tokens = tokens(answer)
    with pytest.raises(TokenFailure, match=r"^idp") as caught:
        built.get("c-1")
    assert (kind, http_status) == (caught.value.answer.kind, caught.value.answer.http_status)
    assert caught.value.__context__ is None


def test_a_throttled_idp_is_left_alone() -> None:
    """For 5 s nobody asks it for another token; one that is known already is given all the same."""
    clock = Clock()
    built, http, _app_tokens = tokens(GIVEN, response(429), GIVEN, clock=clock)
    built.get("c-1")
    with pytest.raises(TokenFailure):
        built.get("c-2")
    for left in (5.0, 2.0):
        with pytest.raises(TokenFailure) as caught:
            built.get("c-3")
        answer = caught.value.answer
        assert (answer.kind, answer.http_status) == (Kind.THROTTLED, 429)
        assert answer.retry_after == left
        clock.now += 3
    assert len(http.calls) == 3
    assert built.get("c-1").consumer_jws == JWS
    assert built.get("c-3").consumer_jws == JWS
    assert len(http.calls) == 4
