"""CONVERSATION answers as LivePerson's documentation prints it: statuses, bodies, errors."""

import json
import uuid
from typing import Any

import jwt
import pytest

from simulator.tokens import ALGORITHM, SIGNING_KEY
from tests.simulator_client import (
    ACCOUNT,
    CONVERSATION_REQ_ID,
    PROFILE_REQ_ID,
    Client,
    batch,
    documented,
    lp_consumer_id,
)
from tests.simulator_process import SimulatorProcess


def test_a_conversation_is_created(client: Client, consumer: str) -> None:
    """The documented answer, with a new id; item ids are echoed."""
    answer = client.create(client.tokens(consumer))
    body = answer.json()
    conversation_id = body[1]["body"]["conversationId"]
    expected = documented("resp_03_200_uuid_reqids")
    expected[1]["body"]["conversationId"] = conversation_id

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert body == expected
    assert str(uuid.UUID(conversation_id)) == conversation_id


def test_a_documented_pair(client: Client, consumer: str) -> None:
    """The sample request gets its sample answer."""
    body = client.create(client.tokens(consumer), documented("req_01_doc_minimal")).json()
    expected = documented("resp_01_200_created")
    expected[1]["body"] = body[1]["body"]

    assert body == expected


@pytest.mark.parametrize("ids", [("1,", "1,"), (1, 2)])
def test_ids_come_back_as_they_were(
    client: Client, consumer: str, ids: tuple[str, str] | tuple[int, int]
) -> None:
    """Documented samples have the same one twice, and numbers."""
    items = batch()
    for item, item_id in zip(items, ids, strict=True):
        item["id"] = item_id
    answer = client.create(client.tokens(consumer), items)

    assert answer.status_code == 200
    assert tuple(item["reqId"] for item in answer.json()) == ids


def test_one_open_conversation_for_a_consumer(client: Client, consumer: str) -> None:
    """A second one is refused in the guide's words, and says nothing of the first one's id."""
    headers = client.tokens(consumer)
    client.create(headers)
    answer = client.create(headers)
    sample = json.dumps(documented("resp_04_400_already_open"))
    their_id = "77d338e4b6bf02affbf9bf00a779cbf06b0fcd7fb1674028e8739acdfa6ae7a2"
    assert their_id in sample

    assert answer.status_code == 400
    assert answer.json() == json.loads(sample.replace(their_id, lp_consumer_id(headers)))


def test_the_profile_is_set_even_if_the_conversation_is_refused(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """The first item takes effect by itself."""
    headers = client.tokens(consumer)
    client.create(headers, batch({"firstName": "Ann"}))
    client.create(headers, batch({"firstName": "Bea"}))
    refused = client.create(headers, batch({"firstName": "Cleo"}, skillId="none"))

    assert [item["code"] for item in refused.json()] == ["OK", "BAD_REQUEST"]
    assert simulator.conversations(consumer=consumer)[0]["profile"] == {"firstName": "Cleo"}


def test_a_wrong_profile_opens_nothing(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """Both items are refused, and say why."""
    answer = client.create(client.tokens(consumer), batch({"firstName": 1}))

    assert answer.status_code == 400
    assert [(item["code"], item["reqId"]) for item in answer.json()] == [
        ("BAD_REQUEST", PROFILE_REQ_ID),
        ("BAD_REQUEST", CONVERSATION_REQ_ID),
    ]
    assert "firstName" in answer.json()[0]["body"]["msg"]
    assert simulator.conversations(consumer=consumer) == []


def test_authorization_errors(client: Client, other: Client, consumer: str) -> None:
    """Each missing or bad token has its own documented error; the table's 40105 is used."""
    good = client.tokens(consumer)
    app_missing = documented("resp_05_401_appjwt_missing")
    app_missing["body"]["errorCode"] = 40105
    other_account = other.tokens(consumer)
    cases = [
        ({**good, "Authorization": ""}, app_missing),
        ({"X-LP-ON-BEHALF": good["X-LP-ON-BEHALF"]}, app_missing),
        ({**good, "Authorization": "x.y.z"}, documented("resp_06_401_appjwt_invalid")),
        (
            {**good, "Authorization": f"Bearer {good['Authorization']}"},
            documented("resp_06_401_appjwt_invalid"),
        ),
        (
            {**good, "Authorization": other_account["Authorization"]},
            documented("resp_06_401_appjwt_invalid"),
        ),
        ({**good, "X-LP-ON-BEHALF": "x.y.z"}, documented("resp_07_401_consumerjws_invalid")),
        (
            {**good, "X-LP-ON-BEHALF": other_account["X-LP-ON-BEHALF"]},
            documented("resp_07_401_consumerjws_invalid"),
        ),
        (
            {"Authorization": good["Authorization"]},
            documented("resp_08_401_consumerjws_missing"),
        ),
    ]
    for headers, expected in cases:
        answer = client.create(headers)
        assert (answer.status_code, answer.json()) == (401, expected)


def test_a_missing_brand(client: Client, consumer: str) -> None:
    """The documented error object."""
    items = batch()
    items[1]["body"] = {}
    answer = client.create(client.tokens(consumer), items)

    assert (answer.status_code, answer.json()) == (400, documented("resp_09_400_brand_missing"))


def test_a_missing_claim(client: Client, consumer: str) -> None:
    """An AppJWT without one is told the code of a missing brand, and with HTTP 400."""
    claims = jwt.decode(client.app_jwt(), options={"verify_signature": False})
    del claims["iss"]
    bare = jwt.encode(claims, SIGNING_KEY, algorithm=ALGORITHM)
    answer = client.create({**client.tokens(consumer), "Authorization": bare})

    assert (answer.status_code, answer.json()["body"]["errorCode"]) == (400, 40001)


@pytest.mark.parametrize("query", ["", "v=2", "v=3.0", "version=3"])
def test_only_version_3(client: Client, consumer: str, query: str) -> None:
    """Another version of the API is not found."""
    assert client.create(client.tokens(consumer), query=query).status_code == 404


@pytest.mark.parametrize(
    "options",
    [
        {"json": None, "data": "{"},
        {"json": None, "data": json.dumps(batch())},
        {"json": None, "data": b"\xff", "type": "application/json"},
        {"json": None, "data": "[NaN,1]", "type": "application/json"},
        {"json": None, "data": "[" * 100_000, "type": "application/json"},
    ],
)
def test_json_is_demanded(client: Client, consumer: str, options: dict[str, Any]) -> None:
    """Both the Content-Type and the body must be JSON."""
    headers = client.tokens(consumer)
    if "type" in options:
        headers["Content-Type"] = options.pop("type")

    assert client.create(headers, **options).status_code == 400


def test_a_huge_body_is_refused(client: Client, consumer: str) -> None:
    """More than a mebibyte is not read."""
    answer = client.create(client.tokens(consumer), batch({"description": "x" * 2**20}))

    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("properties", "status"),
    [
        ('{ "type": ".ClientProperties", "features": ["AUTO_MESSAGES"] }', 200),
        ('{"type": ".ams.headers.ClientProperties", "ipAddress": "192.0.2.10"}', 200),
        ("features", 400),
        ("[]", 400),
        ('{"features": "AUTO_MESSAGES"}', 400),
        ('{"features": ["AUTO_MESSAGES"]}', 400),
        ('{"type": "ClientProperties", "features": ["BRAND_NEW"], "os": "iPadOS"}', 200),
        ('{"type": ".ClientProperties", "appVersion": "' + "1" * 33 + '"}', 400),
        ('{"type": ".ClientProperties", "ipAddress": "2001:db8::1"}', 200),
        ('{"type": ".ClientProperties", "appId": "Z\\u00fcrich"}', 200),
        ('{"type": ".ClientProperties", "appId": "Zürich"}', 400),
        ('{"type": ".ClientProperties", "appId": "Zürich"}'.encode("latin-1"), 400),
        ('{"type": ".ClientProperties", "screen": "wide"}', 400),
    ],
)
def test_client_properties(
    simulator: SimulatorProcess, client: Client, consumer: str, properties: str | bytes, status: int
) -> None:
    """The header is a JSON object of the documented fields, in ASCII, and is kept."""
    raw = properties if isinstance(properties, bytes) else properties.encode()
    tokens = client.tokens(consumer)

    assert client.create({**tokens, "Client-Properties": raw}).status_code == status
    kept = [one["clientProperties"] for one in simulator.conversations(consumer=consumer)]
    assert kept == ([json.loads(properties)] if status == 200 else [])


def test_unknown_paths_are_404(client: Client) -> None:
    """So is a known path with another method."""
    assert client.call("GET", "/nowhere").status_code == 404
    assert (
        client.call("GET", f"/api/account/{ACCOUNT}/messaging/consumer/conversation").status_code
        == 404
    )
