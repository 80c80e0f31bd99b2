"""Monitoring: what a consumer is offered, and which conversation is open."""

import json
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from tasks.liveperson.answer import CallFailed, Kind
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.domains import Domains, Services
from tasks.liveperson.engagement import (
    CONNECTORS_OWN,
    Engaged,
    EngagementFailure,
    Installation,
    LookupFailed,
    Monitoring,
    Visit,
)
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent
from tests.unit.liveperson.scripted import ACCOUNT, Clock, ScriptedHttp, job, response

BODIES = Path(__file__).parents[2] / "bodies"
HOST = response(200, {"baseURI": "va.smt.liveperson.net"})
UNAUTHENTICATED = {"iss": f"api.liveperson.net/{ACCOUNT}", "acr": "0", "sub": "c-9f2"}
AUTHENTICATED = {"iss": f"api.liveperson.net/{ACCOUNT}", "acr": "loa1", "sub": "c-9f2"}
IDENTITIES = [UNAUTHENTICATED, AUTHENTICATED]


def documented(name: str) -> Any:
    return json.loads((BODIES / f"{name}.json").read_text(encoding="utf-8"))


EXPOSED = response(201, documented("resp_40_monitoring_201_expose"))
IN_CONVERSATION = response(200, documented("resp_41_monitoring_200_conversation"))
NOTHING = response(200, documented("resp_42_monitoring_none"))
LOADING_1_0 = response(500, documented("resp_43_monitoring_500_loading"))
LOADING_1_1 = response(202, documented("resp_44_monitoring_202_loading"))
VISITOR_UNKNOWN = response(404, {"message": "Invalid visitorId", "internalCode": 37})
SESSION_UNKNOWN = response(404, {"message": "Invalid sessionId", "internalCode": 39})


def monitoring(
    *answers: HttpResponse | NotSent | FateUnknown,
    clock: Clock | None = None,
    installation: Installation = CONNECTORS_OWN,
) -> tuple[Monitoring, ScriptedHttp]:
    http = ScriptedHttp([HOST, *answers])
    domains = Domains(
        http,
        account_id=ACCOUNT,
        domain_api_url="https://api.liveperson.net",
        trusted_hosts=[".liveperson.net"],
    )
    built = Monitoring(
        Services(http, domains),
        account_id=ACCOUNT,
        credentials=Credentials("app/1", SecretStr("s")),
        domain_api_url="https://api.liveperson.net",
        installation=installation,
        clock=clock or Clock(),
    )
    return built, http


def query(http: ScriptedHttp, number: int = 1) -> dict[str, list[str]]:
    return parse_qs(urlsplit(http.calls[number].url).query)


def sent(http: ScriptedHttp) -> Any:
    body = http.calls[1].body
    assert body is not None
    return json.loads(body)


def test_the_documented_offer_goes_into_the_conversation() -> None:
    """Numbers become strings, contextId becomes interactionContextId."""
    built, _http = monitoring(EXPOSED)
    engaged = built.engage(job(engagement={}))
    assert engaged == Engaged(
        campaign_info={"campaignId": "880524023", "engagementId": "880524123"},
        context={
            "type": "SharkContext",
            "visitorId": "xyz",
            "sessionId": "abc",
            "interactionContextId": "1",
        },
        visit=Visit("xyz", "abc"),
    )
    merged = engaged.merged_into(
        {"skillId": "7", "conversationContext": {"lang": "de-DE", "visitorId": "mine"}}
    )
    assert merged == {
        "skillId": "7",
        "campaignInfo": {"campaignId": "880524023", "engagementId": "880524123"},
        "conversationContext": {
            "lang": "de-DE",
            "type": "SharkContext",
            "visitorId": "xyz",
            "sessionId": "abc",
            "interactionContextId": "1",
        },
    }


@pytest.mark.parametrize("context", [{"type": "FutureContext", "x": 1}, {"type": "SMSContext"}])
def test_a_context_of_another_type_stays_as_it_is(context: dict[str, Any]) -> None:
    """The visitor's ids belong to SharkContext alone."""
    engaged = Engaged(
        campaign_info={"campaignId": "1", "engagementId": "2"},
        context={"type": "SharkContext", "visitorId": "v"},
        visit=Visit(),
    )
    merged = engaged.merged_into({"conversationContext": context})
    assert merged["conversationContext"] == context
    assert merged["campaignInfo"] == {"campaignId": "1", "engagementId": "2"}


def test_the_call_is_the_documented_one() -> None:
    """No token; on behalf of the consumer, who is named both ways."""
    built, http = monitoring(EXPOSED)
    built.engage(job(engagement={}))
    call, url = http.calls[1], urlsplit(http.calls[1].url)
    assert (call.method, url.scheme, url.netloc) == ("POST", "https", "va.smt.liveperson.net")
    assert url.path == "/api/account/12345678/app/app%2F1/engagement"
    assert query(http) == {"v": ["1.1"], "obh": ["true"]}
    assert call.headers == {"Content-Type": "application/json"}
    assert sent(http) == {"consumerId": "c-9f2", "identities": IDENTITIES}


def test_the_documented_request_passes_as_it_is() -> None:
    """What a job asks of Monitoring goes into the body, the visit into the query."""
    asked = documented("req_34_monitoring_engagement")
    built, http = monitoring(EXPOSED)
    built.engage(job(engagement={**asked, "visitorId": "v 1", "sessionId": "s&1"}))
    assert sent(http) == asked
    assert query(http) == {"v": ["1.1"], "obh": ["true"], "vid": ["v 1"], "sid": ["s&1"]}


def test_a_later_attempt_comes_as_the_same_visitor() -> None:
    """LivePerson refuses callers that keep making new sessions."""
    built, http = monitoring(EXPOSED)
    built.engage(job(engagement={"visitorId": "first"}), Visit("xyz", "abc"))
    assert query(http) == {"v": ["1.1"], "obh": ["true"], "vid": ["xyz"], "sid": ["abc"]}


@pytest.mark.parametrize(
    ("gone", "known"), [(VISITOR_UNKNOWN, {}), (SESSION_UNKNOWN, {"vid": ["old"]})]
)
def test_a_visit_that_is_over_begins_anew(gone: HttpResponse, known: dict[str, list[str]]) -> None:
    """A visitor outlives a session. It is asked once more; the second refusal is one."""
    built, http = monitoring(gone, EXPOSED)
    assert built.engage(job(engagement={}), Visit("old", "older")).visit == Visit("xyz", "abc")
    assert query(http, 2) == {"v": ["1.1"], "obh": ["true"], **known}
    built, _http = monitoring(gone, gone)
    with pytest.raises(EngagementFailure) as caught:
        built.engage(job(engagement={}), Visit("old", "older"))
    assert caught.value.answer.kind is Kind.REJECTED
    assert caught.value.visit == Visit(*known.get("vid", ()))


def test_who_came_without_a_session_is_not_asked_for_another_one() -> None:
    """The same request would be refused again."""
    built, http = monitoring(SESSION_UNKNOWN)
    with pytest.raises(EngagementFailure):
        built.engage(job(engagement={}), Visit("old"))
    assert len(http.calls) == 2


def test_an_open_conversation_comes_with_its_campaign() -> None:
    """There is no context to open another one in."""
    built, _http = monitoring(IN_CONVERSATION)
    engaged = built.engage(job(engagement={}))
    assert engaged.campaign_info == {"campaignId": "880524423", "engagementId": "880524523"}
    assert "interactionContextId" not in engaged.context


def test_of_several_engagements_the_one_with_the_conversation_counts() -> None:
    """Otherwise the first; the others are offers for other places."""
    offered = documented("resp_40_monitoring_201_expose")
    talking = documented("resp_41_monitoring_200_conversation")["engagementDetails"][0]
    (first,) = offered["engagementDetails"]
    second = {**first, "campaignId": 2, "contextId": "2"}
    both = {**offered, "engagementDetails": [first, second]}
    all_three = {**offered, "engagementDetails": [first, second, talking]}
    built, _http = monitoring(response(200, both), response(200, all_three))
    for campaign_id in ("880524023", "880524423"):
        assert built.engage(job(engagement={})).campaign_info["campaignId"] == campaign_id


@pytest.mark.parametrize("loading", [LOADING_1_0, LOADING_1_1])
def test_while_an_account_loads_the_visitor_is_kept(loading: HttpResponse) -> None:
    """The visitor named in the message is the one to come back as."""
    built, _http = monitoring(loading, loading)
    with pytest.raises(EngagementFailure) as engaging:
        built.engage(job(engagement={}))
    with pytest.raises(LookupFailed) as looking:
        built.find_open_conversation(job())
    for failure in (engaging.value, looking.value):
        assert failure.visit == Visit("myVisitorId")
        assert failure.answer.kind is Kind.NOT_SENT
        assert failure.answer.error_code in {20, 38}


def test_no_engagement_is_a_refusal_that_says_what_to_do() -> None:
    """A conversation outside the campaign that was asked for would reach the wrong people."""
    built, _http = monitoring(NOTHING)
    with pytest.raises(EngagementFailure, match="check that a published campaign") as caught:
        built.engage(job(engagement={}))
    assert caught.value.answer.kind is Kind.REJECTED
    assert caught.value.visit == Visit("xyz", "abc")


@pytest.mark.parametrize(
    ("body", "expected"),
    [(IN_CONVERSATION, "fdasfdas"), (EXPOSED, None), (NOTHING, None)],
)
def test_the_open_conversation_is_found(body: HttpResponse, expected: str | None) -> None:
    """Every documented success tells whether one is shown."""
    built, http = monitoring(body)
    assert expected == built.find_open_conversation(job())
    assert sent(http) == {"consumerId": "c-9f2", "identities": IDENTITIES}


def test_who_looks_for_a_conversation_comes_back_as_the_same_visitor() -> None:
    """Visitor and session are those of an earlier call, or what is left of them."""
    built, http = monitoring(SESSION_UNKNOWN, IN_CONVERSATION)
    assert built.find_open_conversation(job(), visit=Visit("xyz", "abc")) == "fdasfdas"
    assert query(http) == {"v": ["1.1"], "obh": ["true"], "vid": ["xyz"], "sid": ["abc"]}
    assert query(http, 2) == {"v": ["1.1"], "obh": ["true"], "vid": ["xyz"]}


def test_a_throttled_monitoring_is_left_alone() -> None:
    """For a second nobody asks it, whatever for; who is refused keeps the visit."""
    clock = Clock()
    built, http = monitoring(response(429), IN_CONVERSATION, clock=clock)
    with pytest.raises(LookupFailed):
        built.find_open_conversation(job(consumerId="c-1"))
    clock.now += 0.75
    with pytest.raises(EngagementFailure) as engaging:
        built.engage(job(engagement={}), Visit("xyz", "abc"))
    with pytest.raises(LookupFailed) as looking:
        built.find_open_conversation(job(consumerId="c-2"), visit=Visit("xyz", "abc"))
    for failure in (engaging.value, looking.value):
        assert (failure.answer.kind, failure.answer.retry_after) == (Kind.THROTTLED, 0.25)
        assert failure.visit == Visit("xyz", "abc")
    assert len(http.calls) == 2
    clock.now += 0.25
    assert built.find_open_conversation(job(consumerId="c-1")) == "fdasfdas"


FAILURES = [
    (response(400, {"message": "Invalid data", "internalCode": 5}), Kind.REJECTED, 5),
    (response(400, {"message": "Bad version", "internalCode": 33}), Kind.REJECTED, 33),
    (response(404, {"message": "Invalid app", "internalCode": 18}), Kind.CREDENTIALS, 18),
    (response(401), Kind.CREDENTIALS, None),
    (response(401, {"message": "who are you?"}), Kind.CREDENTIALS, None),
    (response(403, b"<html></html>"), Kind.NOT_SENT, None),
    (response(404, b"<html></html>"), Kind.NOT_SENT, None),
    (response(404, {"message": "no route"}), Kind.NOT_SENT, None),
    (response(500, {"message": "Internal", "internalCode": 18}), Kind.NOT_SENT, 18),
    (response(503), Kind.NOT_SENT, None),
    (response(429, b"", Retry_After="2"), Kind.THROTTLED, None),
    (response(302), Kind.NOT_SENT, None),
    (response(204), Kind.NOT_SENT, None),
    (response(200, b"<html>"), Kind.NOT_SENT, None),
    (response(200, {}), Kind.NOT_SENT, None),
    (response(200, {"visitorId": "v", "sessionId": None}), Kind.NOT_SENT, None),
    (
        response(200, {"visitorId": "v", "sessionId": "s", "engagementDetails": {"a": 1}}),
        Kind.NOT_SENT,
        None,
    ),
    (NotSent("cannot connect"), Kind.NOT_SENT, None),
    (FateUnknown("silence"), Kind.NOT_SENT, None),
]


@pytest.mark.parametrize(("answer", "kind", "code"), FAILURES)
def test_every_failure_leaves_no_doubt(
    answer: HttpResponse | NotSent | FateUnknown, kind: Kind, code: int | None
) -> None:
    """Asking Monitoring opens no conversation; and no failure is taken for `none is open`."""
    built, _http = monitoring(answer, answer)
    with pytest.raises(EngagementFailure, match=r"^Monitoring") as engaging:
        built.engage(job(engagement={}), Visit("v", "s"))
    with pytest.raises(LookupFailed, match=r"^Monitoring") as looking:
        built.find_open_conversation(job())
    failures: list[CallFailed] = [engaging.value, looking.value]
    for failure in failures:
        assert (kind, code) == (failure.answer.kind, failure.answer.error_code)
        assert failure.__context__ is None


def test_a_conversation_without_an_id_is_no_answer() -> None:
    """It is open, so `none` would be wrong."""
    body = documented("resp_41_monitoring_200_conversation")
    del body["engagementDetails"][0]["conversationId"]
    built, _http = monitoring(response(200, body))
    with pytest.raises(LookupFailed):
        built.find_open_conversation(job())


KINDS: list[tuple[Literal["auth", "unauth", "both"], list[dict[str, str]]]] = [
    ("both", IDENTITIES),
    ("auth", [AUTHENTICATED]),
    ("unauth", [UNAUTHENTICATED]),
]


@pytest.mark.parametrize(("kind", "identities"), KINDS)
def test_the_setting_says_which_identities_are_asked_about(
    kind: Literal["auth", "unauth", "both"], identities: list[dict[str, str]]
) -> None:
    """LivePerson's pages have both kinds; the look-up asks about the same as the engagement."""
    installation = Installation(identity=kind)
    built, http = monitoring(EXPOSED, installation=installation)
    built.engage(job(engagement={"identities": []}))
    assert sent(http)["identities"] == identities
    built, http = monitoring(IN_CONVERSATION, installation=installation)
    assert built.find_open_conversation(job()) == "fdasfdas"
    assert sent(http)["identities"] == identities


def test_the_issuer_of_the_authenticated_is_the_brands_own() -> None:
    """It "should supply the URL"."""
    installation = Installation(identity="auth", issuer="https://brand.example")
    built, http = monitoring(EXPOSED, installation=installation)
    built.engage(job(engagement={}))
    assert sent(http)["identities"] == [AUTHENTICATED | {"iss": "https://brand.example"}]


def test_a_look_up_is_about_the_jobs_own_identities() -> None:
    """Whoever the engagement was asked for is looked for."""
    own = [{"iss": "https://brand.example", "acr": "loa1", "sub": "me"}]
    built, http = monitoring(EXPOSED)
    engaged = job(engagement={"identities": own, "consumerId": "old", "visitorId": "v-1"})
    assert built.find_open_conversation(engaged) is None
    assert sent(http) == {"consumerId": "old", "identities": own}
    assert query(http)["vid"] == ["v-1"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("unauth", {}),
        ("both", {"engagement": {"identities": [UNAUTHENTICATED]}}),
    ],
)
def test_none_is_no_proof_where_this_kind_of_identity_may_be_unknown(
    kind: Literal["unauth", "both"], fields: dict[str, Any]
) -> None:
    """A connector's consumers are authenticated; one that is found is found all the same."""
    built, _http = monitoring(EXPOSED, IN_CONVERSATION, installation=Installation(identity=kind))
    with pytest.raises(LookupFailed, match="unauthenticated consumer alone") as caught:
        built.find_open_conversation(job(**fields))
    assert caught.value.answer.kind is Kind.NOT_SENT
    assert caught.value.visit == Visit("xyz", "abc")
    assert built.find_open_conversation(job(**fields)) == "fdasfdas"


def test_monitoring_can_be_installed_by_itself() -> None:
    """Then its app installation is not the connector's."""
    built, http = monitoring(EXPOSED, installation=Installation(app_id="app/2"))
    built.engage(job(engagement={}))
    assert urlsplit(http.calls[1].url).path == "/api/account/12345678/app/app%2F2/engagement"
