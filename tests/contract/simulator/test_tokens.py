"""Domain API, sentinel and IDP: where to go, and the two tokens to go with."""

from typing import Any

import pytest

from tests.simulator_client import (
    ACCOUNT,
    CLIENT_ID,
    CLIENT_SECRET,
    Client,
    documented,
    lp_consumer_id,
)
from tests.simulator_process import SimulatorProcess


def test_one_service(simulator: SimulatorProcess, client: Client) -> None:
    """The host is the simulator's own, bare."""
    answer = client.domain("asyncMessagingEnt")

    assert answer.status_code == 200
    assert answer.json() == {**documented("resp_31_domain_one"), "baseURI": simulator.host}


def test_all_services(simulator: SimulatorProcess, client: Client) -> None:
    """Every service a connector needs is listed, in the documented shape."""
    answer = client.call(
        "GET", f"/api/account/{ACCOUNT}/service/baseURI.json", params={"version": "1.0"}
    )
    entries = answer.json()["baseURIs"]

    assert {entry["baseURI"] for entry in entries} == {simulator.host}
    assert {entry["account"] for entry in entries} == {ACCOUNT}
    assert entries[0].keys() == documented("resp_30_domain_all")["baseURIs"][0].keys()
    assert {"asyncMessagingEnt", "sentinel", "idp", "smt", "msgHist"} <= {
        entry["service"] for entry in entries
    }


def test_the_ending_can_be_left_out(client: Client) -> None:
    """JSON comes with and without `.json`."""
    path = f"/api/account/{ACCOUNT}/service/idp/baseURI"

    assert client.call("GET", path, params={"version": "1.0"}).json()["service"] == "idp"


@pytest.mark.parametrize(
    ("service", "query"),
    [("idp", {"version": "2.0"}), ("idp", {"v": "1.0"}), ("IDP", {}), ("asyncmessagingent", {})],
)
def test_version_and_exact_name_are_demanded(
    client: Client, service: str, query: dict[str, str]
) -> None:
    """Without version=1.0, or with a name in other case, the answer is 400."""
    assert client.domain(service, **query).status_code == 400


def test_an_app_jwt(client: Client) -> None:
    """The answer holds the token and its type; the grant type may stand in the form too."""
    in_form = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "grant_type": "client_credentials",
    }
    for answer in (client.log_in(), client.log_in(params={"v": "1.0"}, data=in_form)):
        assert answer.status_code == 200
        assert answer.json().keys() == documented("resp_32_appjwt").keys()
        assert answer.json()["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"params": {"grant_type": "client_credentials"}}, "invalid_request"),
        ({"params": {"v": "1.0"}}, "invalid_request"),
        ({"params": {"v": "1.0", "grant_type": "password"}}, "unsupported_grant_type"),
        ({"data": {"client_id": CLIENT_ID}}, "invalid_request"),
        ({"data": None, "json": {"client_id": "a", "client_secret": "b"}}, "invalid_request"),
        (
            {
                "data": None,
                "params": {
                    "v": "1.0",
                    "grant_type": "client_credentials",
                    "client_id": "a",
                    "client_secret": "b",
                },
            },
            "invalid_request",
        ),
    ],
)
def test_a_wrong_token_request_is_an_oauth_error(
    client: Client, options: dict[str, Any], error: str
) -> None:
    """RFC 6749, section 5.2; credentials in the URL or in JSON are not taken."""
    answer = client.log_in(**options)

    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["error_description"]


def test_credentials_are_checked(client: Client, other: Client) -> None:
    """A wrong id, secret or account is an invalid client; a secret may hold colons."""
    stranger = Client(client.url, "1")

    assert other.log_in().status_code == 200
    for answer in (
        client.log_in(client_secret="wrong"),
        client.log_in(client_id="wrong"),
        other.log_in(client_secret=client.secret),
        stranger.log_in(),
    ):
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert stranger.domain("idp").status_code == 400
    assert stranger.engage().json()["internalCode"] == 18


def test_a_consumer_jws(client: Client, other: Client, consumer: str) -> None:
    """201, and the same id gives the same consumer; another account has other consumers."""
    answer = client.identify(consumer)

    assert answer.status_code == 201
    assert answer.json().keys() == documented("resp_34_consumerjws").keys()
    assert lp_consumer_id(client.tokens(consumer)) == lp_consumer_id(client.tokens(consumer))
    assert lp_consumer_id(client.tokens(consumer)) != lp_consumer_id(other.tokens(consumer))


def test_the_app_jwt_is_sent_bare(client: Client, consumer: str) -> None:
    """With the word Bearer before it, it is refused."""
    app_jwt = client.app_jwt()

    assert client.identify(consumer, app_jwt).status_code == 201
    assert client.identify(consumer, f"Bearer {app_jwt}").status_code == 401


@pytest.mark.parametrize("body", [{}, {"ext_consumer_id": ""}, {"ext_consumer_id": 7}, [], None])
def test_a_consumer_needs_an_id(client: Client, body: Any) -> None:
    """Anything but a string that is not empty is refused."""
    answer = client.call(
        "POST",
        f"/api/account/{ACCOUNT}/consumer?v=1.0",
        json=body,
        headers={"Authorization": client.app_jwt()},
    )

    assert answer.status_code == 400


def test_bytes_that_are_no_text_are_no_token(client: Client) -> None:
    """A header in another encoding is refused like any bad token."""
    headers = {"Authorization": b"\xff\xfe", "X-LP-ON-BEHALF": b"\xff"}
    answer = client.call("POST", f"/api/account/{ACCOUNT}/consumer?v=1.0", json={}, headers=headers)

    assert answer.status_code == 401
