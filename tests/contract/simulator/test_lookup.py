"""Looking a conversation up: the Monitoring API, and Messaging Interactions."""

from typing import Any

import pytest

from tests.simulator_client import ACCOUNT, Client, documented, lp_consumer_id
from tests.simulator_process import SimulatorProcess


def identity(**changes: str) -> dict[str, str]:
    return {"iss": "https://brand.example", "acr": "loa1", "sub": "me", **changes}


def sde(kind: str, **fields: Any) -> dict[str, Any]:
    return {"engagementAttributes": [{"type": kind, **fields}]}


def test_a_visitor_gets_a_campaign(client: Client) -> None:
    """201 with the documented fields; ids are numbers, the context is a string."""
    answer = client.engage(documented("req_34_monitoring_engagement"), obh="true")
    body = answer.json()
    sample = documented("resp_40_monitoring_201_expose")
    details = body["engagementDetails"][0]

    assert answer.status_code == 201
    assert body.keys() == sample.keys()
    assert details == sample["engagementDetails"][0] | {"campaignId": 11, "engagementId": 22}


def test_a_session_goes_on(client: Client) -> None:
    """200 with the same visitor and session; without the session a new one begins."""
    first = client.engage().json()
    again = client.engage(vid=first["visitorId"], sid=first["sessionId"])
    anew = client.engage(vid=first["visitorId"])

    assert again.status_code == 200
    assert (again.json()["visitorId"], again.json()["sessionId"]) == (
        first["visitorId"],
        first["sessionId"],
    )
    assert anew.status_code == 201
    assert anew.json()["visitorId"] == first["visitorId"]
    assert anew.json()["sessionId"] != first["sessionId"]


@pytest.mark.parametrize("named_by", ["consumerId", "identity"])
def test_an_open_conversation_is_named(
    simulator: SimulatorProcess, client: Client, consumer: str, named_by: str
) -> None:
    """The documented shape with its id, for a consumer named in either way."""
    conversation_id = client.open(consumer)
    body = (
        {"consumerId": consumer}
        if named_by == "consumerId"
        else {"consumerId": "nobody", "identities": [identity(sub=consumer)]}
    )
    details = client.engage(body).json()["engagementDetails"][0]
    sample = documented("resp_41_monitoring_200_conversation")["engagementDetails"][0]

    assert details.keys() == sample.keys()
    assert (details["status"], details["conversationId"]) == ("conversation", conversation_id)
    simulator.control("close", {"consumer": consumer})
    assert client.engage(body).json()["engagementDetails"][0]["status"] == "expose"


def test_the_authenticated_are_known_by_any_issuer_and_by_none(
    client: Client, consumer: str
) -> None:
    """It is optional, and the brand's own."""
    client.open(consumer)
    anonymous = {"acr": "loa1", "sub": consumer}
    for one in (anonymous, anonymous | {"iss": "https://brand.example"}):
        answer = client.engage({"identities": [one]})
        assert answer.json()["engagementDetails"][0]["status"] == "conversation"


def test_an_identity_of_another_kind_is_nobody(client: Client, consumer: str) -> None:
    """The consumers of a connector are authenticated: its manifest says so."""
    client.open(consumer)
    for other in ("LivePerson", f"api.liveperson.net/{ACCOUNT}"):
        body = {"identities": [identity(iss=other, acr="0", sub=consumer)]}
        assert client.engage(body).json()["engagementDetails"][0]["status"] == "expose"


def test_consumers_may_be_unauthenticated() -> None:
    """Then their issuer is the Domain API with the account, or as in the page's own sample."""
    with SimulatorProcess("--consumer-identity=unauth", f"--monitoring-app={ACCOUNT}:mine") as one:
        asking = Client(one.url)
        asking.open("c-1")
        for iss, acr, status in (
            (f"api.liveperson.net/{ACCOUNT}", "0", "conversation"),
            ("LivePerson", "0", "conversation"),
            ("https://brand.example", "0", "expose"),
            ("LivePerson", "loa1", "expose"),
        ):
            body = {"identities": [identity(iss=iss, acr=acr, sub="c-1")]}
            answer = asking.engage(body, app_id="mine")
            assert answer.json()["engagementDetails"][0]["status"] == status, (iss, acr)
        assert asking.engage().json()["internalCode"] == 18
        asking.http.close()


def test_an_account_without_campaigns(other: Client) -> None:
    """The details are missing altogether."""
    answer = other.engage()

    assert answer.json().keys() == documented("resp_42_monitoring_none").keys()


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ({"v": "2.0"}, 400, 33),
        ({"body": []}, 400, 5),
        ({"body": {"identities": "me"}}, 400, 5),
        ({"body": {"identities": [{}]}}, 400, 5),
        ({"body": {"identities": [{"iss": "LivePerson", "sub": "me"}]}}, 400, 5),
        ({"body": {"identities": [{"iss": "LivePerson", "acr": "loa1"}]}}, 400, 5),
        ({"body": {"identities": [identity(acr="loa2")]}}, 400, 5),
        ({"body": sde("ctmrinfo", info={"customerId": "1"})}, 400, 5),
        (
            {
                "body": sde("ctmrinfo", info={"customerId": "1"})
                | {"identities": [identity(acr="0")]}
            },
            400,
            5,
        ),
        ({"body": {"clientProperties": "mine"}}, 400, 5),
        ({"body": {"clientProperties": {"ipAddress": "999.999.999.999"}}}, 400, 5),
        ({"body": {"clientProperties": {"os": "OSX"}}}, 400, 5),
        ({"body": {"clientProperties": {"colour": "red"}}}, 400, 5),
        ({"body": {"entryPoints": "tel://1"}}, 400, 5),
        ({"body": {"engagementAttributes": [{}]}}, 400, 5),
        ({"body": {"engagementAttributes": [{"type": []}]}}, 400, 5),
        ({"body": sde("personal", personal={"firstname": 1})}, 400, 5),
        ({"body": sde("personal", info={})}, 400, 5),
        ({"body": sde("ctmrinfo", info={"companySize": "5"})}, 400, 5),
        ({"vid": "nobody"}, 404, 37),
        ({"sid": "nothing"}, 404, 39),
        ({"app_id": "another"}, 404, 18),
    ],
)
def test_monitoring_errors(
    client: Client, call: dict[str, Any], status: int, code: int | None
) -> None:
    """The documented internal codes; a session without its visitor is no session."""
    answer = client.engage(**call)

    assert (answer.status_code, answer.json().get("internalCode")) == (status, code)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"identities": [identity(), identity(iss="LivePerson", acr="0")]},
        {"identities": [{"acr": "loa1", "sub": "me"}]},
        sde("ctmrinfo", info={"customerId": "1"}) | {"identities": [identity()]},
        {"clientProperties": {"os": "MAC_OSX", "ipAddress": "192.0.2.10"}},
        sde("ctmrinfo", info={}),
        sde("ctmrinfo", info={"storeNumber": "123865", "storeZipCode": "20505"}),
        sde("personal", personal={"age": {"age": 30.0}}),
        sde("purchase", total=11.7),
    ],
)
def test_documented_bodies_pass(client: Client, body: dict[str, Any]) -> None:
    """All of it is optional; the attributes are those of the whole family."""
    assert client.engage(body).status_code == 201


def test_an_unknown_session(client: Client) -> None:
    """404 with internal code 39."""
    answer = client.engage(vid=client.engage().json()["visitorId"], sid="nothing")

    assert (answer.status_code, answer.json()["internalCode"]) == (404, 39)
    assert answer.json().keys() == documented("resp_43_monitoring_500_loading").keys()


@pytest.mark.parametrize(
    ("version", "name", "status"),
    [
        ("1.0", "resp_43_monitoring_500_loading", 500),
        ("1.1", "resp_44_monitoring_202_loading", 202),
    ],
)
def test_an_account_that_is_loading(
    simulator: SimulatorProcess, client: Client, version: str, name: str, status: int
) -> None:
    """The message names the visitor to come back as; each version has its own status and code."""
    simulator.control("faults", {"probabilities": {"smt.loading": 1}})
    answer = client.engage(v=version)
    simulator.control("faults", {"probabilities": {}})
    loading = answer.json()
    visitor_id = loading["message"].rpartition("vid: ")[2]

    assert answer.status_code == status
    assert loading["internalCode"] == documented(name)["internalCode"]
    assert loading["message"] == f"Loading account: {ACCOUNT}, vid: {visitor_id}"
    assert client.engage(vid=visitor_id).json()["visitorId"] == visitor_id


def test_the_history_of_a_consumer(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """Open and closed conversations are told apart by status."""
    closed = client.open(consumer)
    simulator.control("close")
    opened = client.open(consumer)
    lp_id = lp_consumer_id(client.tokens(consumer))

    def found(*status: str) -> list[str]:
        answer = client.search(lp_id, list(status)).json()
        records = answer["conversationHistoryRecords"]
        assert answer["_metadata"]["count"] == len(records)
        return [record["info"]["conversationId"] for record in records]

    assert found("OPEN") == [opened]
    assert found("CLOSE") == [closed]
    assert found("OPEN", "CLOSE") == [opened, closed]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"params": {}}, 400),
        ({"params": {"source": "x" * 21}}, 400),
        ({"params": {"source": "x", "limit": "101"}}, 400),
        ({"params": {"source": "x", "offset": "-1"}}, 400),
        ({"json": {"status": ["OPEN"]}}, 400),
        ({"headers": {}}, 401),
    ],
)
def test_history_errors(client: Client, options: dict[str, Any], status: int) -> None:
    """The source is required and short, pages are bounded, a user's token is needed."""
    assert client.search("x", ["OPEN"], **options).status_code == status


def test_history_does_not_take_the_connectors_token(client: Client) -> None:
    """Its scope is messaging, not history."""
    headers = {"Authorization": f"Bearer {client.app_jwt()}"}

    assert client.search("x", ["OPEN"], headers=headers).status_code == 401
