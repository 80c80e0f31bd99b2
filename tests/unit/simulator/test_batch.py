"""What CONVERSATION takes and what it refuses, item by item and field by field."""

from typing import Any

import pytest

from simulator.batch import Batch, read_batch
from simulator.calls import Refused, read_json
from tests.simulator_client import ACCOUNT, BODIES, batch, documented

SAMPLES = sorted(path.stem for path in BODIES.glob("req_0*.json"))
# Two from older pages have three.
REQUESTS = [name for name in SAMPLES if len(documented(name)) == 2]


def read(body: Any, *, lenient: bool = False) -> Batch:
    return read_batch(body, ACCOUNT, lenient=lenient)


def refusal(body: Any) -> dict[str, Any]:
    with pytest.raises(Refused) as refused:
        read(body)
    answer: dict[str, Any] = read_json(refused.value.answer.content)
    return answer


def changed(position: int, **changes: Any) -> list[dict[str, Any]]:
    """Give a good batch with one item changed; None takes a field away."""
    items = batch()
    item = {**items[position], **changes}
    items[position] = {name: value for name, value in item.items() if value is not None}
    return items


def sdes(*attributes: Any) -> dict[str, Any]:
    return {"authenticatedData": {"lp_sdes": list(attributes)}}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_documented_request_is_taken(name: str) -> None:
    """Every sample of the documentation is read, and nothing in it is found wrong."""
    read_sample = read(documented(name))

    assert (read_sample.profile_problem, read_sample.conversation_problem) == (None, None)


def test_there_are_six_documented_requests() -> None:
    """The samples are where the test above looks for them."""
    assert len(REQUESTS) == 6


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        batch()[:1],
        [*batch(), *batch()],
        list(reversed(batch())),
        [batch()[0], batch()[0]],
        changed(0, kind="resp"),
        changed(0, id=None),
        changed(0, id=""),
        changed(0, id="x" * 65),
        changed(0, id=1.5),
        changed(0, metadata={"type": "ExternalId", "id": "1"}),
        changed(0, metadata=[{"id": "1"}]),
        changed(0, body=[]),
        changed(0, body=None),
        changed(0, extra=1),
        changed(1, type="cm.ConsumerRequestConversatio"),
        *(documented(name) for name in SAMPLES if name not in REQUESTS),
    ],
)
def test_a_batch_of_another_form_is_refused_as_a_whole(body: Any) -> None:
    """The envelope is exact: array, order, kind, ids of 1 to 64 characters, metadata a list."""
    answer = refusal(body)

    assert (answer["code"], answer["body"]["errorCode"]) == (400, 40000)


@pytest.mark.parametrize(
    "body",
    [
        changed(0, kind=None),
        changed(0, id=1),
        changed(1, id=batch()[0]["id"]),
        changed(1, metadata=[{"type": "ExternalId", "id": "1"}]),
    ],
)
def test_documented_envelopes_pass(body: Any) -> None:
    """No `kind`, ids as numbers or the same twice, and metadata: a page or a schema has each."""
    assert read(body).profile_id == body[0]["id"]
    assert read(body).conversation_id == body[1]["id"]


@pytest.mark.parametrize("brand_id", [None, ""])
def test_a_missing_brand_is_40001(brand_id: str | None) -> None:
    """The documented error object answers a batch without brandId."""
    body = {} if brand_id is None else {"brandId": brand_id}

    assert refusal(changed(1, body=body)) == documented("resp_09_400_brand_missing")


@pytest.mark.parametrize("brand_id", ["87654321", 12345678])
def test_another_brand_is_40001(brand_id: object) -> None:
    """The brandId must be the account of the URL, as a string."""
    assert refusal(changed(1, body={"brandId": brand_id}))["body"]["errorCode"] == 40001


@pytest.mark.parametrize(
    "fields",
    [
        {"skillId": "-1"},
        {"skillId": "1234567890"},
        {"skillId": 2736637412},
        {"ttrDefName": None},
        {"ttrDefName": "URGENT"},
        {"campaignInfo": {"campaignId": 418732213, "engagementId": "425842913"}},
        {"conversationContext": {"interactionContextId": 2}},
        {"conversationContext": {"type": "SMSContext", "lang": "en-US"}},
        {"conversationContext": {"type": "SMSContext", "features": ["RICH_CONTENT"]}},
        {"conversationContext": {"type": "ProactiveContext", "originConversationId": "x"}},
    ],
)
def test_documented_conversation_fields_pass(fields: dict[str, Any]) -> None:
    """What is documented passes; so does a context of an unknown type."""
    assert read(batch(**fields)).conversation_problem is None


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"skillId": "12345678901"}, "skillId"),
        ({"skillId": -2}, "skillId"),
        ({"skillId": 12345678901}, "skillId"),
        ({"skillId": True}, "skillId"),
        ({"skillId": "-2"}, "skillId"),
        ({"skillId": "1\n"}, "skillId"),
        ({"channelType": "SMS"}, "channelType"),
        ({"ttrDefName": "SLOW"}, "ttrDefName"),
        ({"campaignInfo": {"campaignId": "9"}}, "campaignInfo.engagementId"),
        ({"campaignInfo": {}}, "campaignInfo"),
        ({"campaignInfo": None}, "campaignInfo"),
        ({"skilId": "1"}, "skilId"),
        ({"conversationContext": {"type": "SharkContext", "visitor": "x"}}, "visitor"),
        ({"conversationContext": {"visitorId": 5}}, "visitorId"),
        ({"conversationContext": {"type": "SMSContext", "visitorId": "x"}}, "visitorId"),
        ({"conversationContext": {"type": "ProactiveContext", "x": 1}}, "x"),
        ({"conversationContext": {"lang": ""}}, "lang"),
        ({"conversationContext": {"type": ""}}, "conversationContext"),
        ({"conversationContext": {"type": 5}}, "conversationContext"),
        ({"conversationContext": {"type": []}}, "conversationContext"),
        ({"conversationContext": "SharkContext"}, "conversationContext"),
    ],
)
def test_other_conversation_fields_are_refused_by_name(fields: dict[str, Any], place: str) -> None:
    """What is not documented is found and named."""
    assert place in (read(batch(**fields)).conversation_problem or "")


@pytest.mark.parametrize(
    "profile",
    [
        sdes(),
        sdes({"type": "ctmrinfo", "info": {}}, {"type": "personal", "personal": {}}),
        sdes({"type": "ctmrinfo", "info": {"storeNumber": "123865", "storeZipCode": "20505"}}),
        sdes({"type": "ctmrinfo", "info": {"balance": -400.99, "loginStatus": 1}}),
        sdes({"type": "ctmrinfo", "info": {"balance": 400, "companySize": 5.0}}),
        sdes(
            {"type": "ctmrinfo", "info": {}, "auth": {"amr": ["pwd"], "iss": "https://a.example"}}
        ),
        sdes({"type": "personal", "personal": {"language": "en_US", "age": {"year": "1969"}}}),
        {"privateData": {"mail": "a@example.com", "pushNotificationData": {"token": "t"}}},
    ],
)
def test_documented_profiles_pass(profile: dict[str, Any]) -> None:
    """What is documented passes."""
    assert read(batch(profile)).profile_problem is None


@pytest.mark.parametrize(
    ("profile", "place"),
    [
        (sdes({"type": "purchase"}), "lp_sdes"),
        (sdes({"ctmrinfo": {}}), "lp_sdes"),
        (sdes({"type": "ctmrinfo"}), "info"),
        (sdes({"type": "personal"}), "personal"),
        (sdes({"type": "personal", "personal": {"age": {"year": "69"}}}), "year"),
        (sdes({"type": "ctmrinfo", "info": {"companySize": "5"}}), "companySize"),
        (sdes({"type": "ctmrinfo", "info": {"companySize": True}}), "companySize"),
        (sdes({"type": "ctmrinfo", "info": {"companySize": 5.5}}), "companySize"),
        (sdes({"type": "ctmrinfo", "info": {"balance": True}}), "balance"),
        (sdes({"type": "ctmrinfo", "info": {"lastPaymentDate": {"day": 1}}}), "lastPaymentDate"),
        (sdes({"type": "ctmrinfo", "info": {"ctype": None}}), "ctype"),
        (sdes({"type": "ctmrinfo", "info": {}, "personal": {}}), "personal"),
        (sdes({"type": "personal", "personal": {"firstName": "J"}}), "firstName"),
        (sdes({"type": "personal", "personal": {"gender": "X"}}), "gender"),
        (sdes({"type": "personal", "personal": {"contacts": [{"phoneType": "X"}]}}), "phoneType"),
        ({"firstname": "J"}, "firstname"),
        ({"firstName": 1}, "firstName"),
    ],
)
def test_other_profile_fields_are_refused_by_name(profile: dict[str, Any], place: str) -> None:
    """What is not documented is found and named."""
    assert place in (read(batch(profile)).profile_problem or "")


def test_lenient_passes_unknown_fields_and_nothing_else() -> None:
    """Lenient is about names, not about types."""
    unknown = read(batch({"shoe": 42}, shoe=42), lenient=True)
    wrong = read(batch({"firstName": 1}, skillId="x"), lenient=True)

    assert (unknown.profile_problem, unknown.conversation_problem) == (None, None)
    assert wrong.profile_problem is not None
    assert wrong.conversation_problem is not None
