"""What is a job, and what becomes of it."""

import json
import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tasks.messages.fields.document import JOB_DOCUMENT
from tasks.messages.job import (
    Engagement,
    InvalidJob,
    Job,
    Reading,
    parse_job,
)
from tasks.messages.schema import schema

ACCOUNT = "12345678"
SCHEMA = Draft202012Validator(schema("job"))
CAMPAIGN = {"campaignId": "99999", "engagementId": "888888"}
BODIES = Path(__file__).parents[1] / "bodies"


def job(**fields: Any) -> dict[str, Any]:
    return {"jobId": "order-4711", "accountId": ACCOUNT, "consumerId": "c-1"} | fields


def parse(document: object) -> Job:
    return parse_job(document, accounts={ACCOUNT, "87654321"})


def sde(**item: Any) -> dict[str, Any]:
    return {"profile": {"authenticatedData": {"lp_sdes": [item]}}}


def body(name: str) -> Any:
    return json.loads((BODIES / f"{name}.json").read_text(encoding="utf-8"))


def test_the_smallest_job() -> None:
    """Two ids are enough; all else has a default, and the conversation is complete."""
    assert parse(job()) == Job(
        job_id="order-4711",
        account_id=ACCOUNT,
        consumer_id="c-1",
        profile={},
        conversation={"brandId": ACCOUNT, "channelType": "MESSAGING"},
        engagement=None,
        client_properties=None,
        item_metadata={},
        on_open_conversation="fail",
        not_before=None,
        expires_at=None,
        priority=0,
        submission_id=None,
        metadata=None,
        digest=parse(job()).digest,
        content=parse(job()).content,
    )


@pytest.mark.parametrize("path", sorted(BODIES.glob("req_0*.json")), ids=lambda path: path.stem)
def test_documented_requests_are_jobs(path: Path) -> None:
    """LivePerson's own samples paste in, and what is sent is the sample, field by field."""
    profile, conversation = (item["body"] for item in json.loads(path.read_text())[:2])
    brand = conversation["brandId"]
    document = {"jobId": "1", "consumerId": "c", "profile": profile, "conversation": conversation}
    before = deepcopy(document)
    parsed = parse_job(document, accounts=[brand])
    assert parsed.profile == profile
    assert parsed.conversation == {"channelType": "MESSAGING"} | conversation
    assert parsed.account_id == brand
    assert document == before


def test_the_documented_engagement_is_a_jobs() -> None:
    """The Monitoring API's sample body is `engagement` as it stands; the query is beside it."""
    sample = body("req_34_monitoring_engagement")
    asked = {"visitorId": "v-1", "sessionId": "s-1"} | sample
    assert parse(job(engagement=asked)).engagement == Engagement(
        visitor_id="v-1", session_id="s-1", body=sample
    )


def test_the_documented_header_is_a_jobs() -> None:
    """`Client-Properties` of the documentation's example passes as it is."""
    header = {"type": ".ClientProperties", "features": ["AUTO_MESSAGES"]}
    assert parse(job(clientProperties=header)).client_properties == header


@pytest.mark.parametrize(
    "fields",
    [
        {"jobId": "j" * 128},
        {"jobId": "日本"},
        {"consumerId": "c" * 512},
        {"conversation": {"ttrDefName": None}},
        {"conversation": {"ttrDefName": "CUSTOM"}},
        {"conversation": {"skillId": "1234567890"}},
        {"conversation": {"skillId": "-1"}},
        {"conversation": {"brandId": ACCOUNT, "channelType": "MESSAGING"}},
        {"conversation": {"campaignInfo": {"campaignId": "99999", "engagementId": "888888"}}},
        {"conversation": {"conversationContext": {}}},
        {"conversation": {"conversationContext": {"type": "SharkContext", "visitorId": ""}}},
        {"conversation": {"conversationContext": {"lang": "de"}}},
        {"conversation": {"conversationContext": {"type": "SMSContext", "lang": "en-US"}}},
        {"conversation": {"conversationContext": {"type": "SMSContext", "features": ["X"]}}},
        {
            "conversation": {
                "conversationContext": {"type": "ProactiveContext", "originConversationId": "x"}
            }
        },
        {"conversation": {"conversationContext": {"type": "NewContext", "any": [{"thing": 1}]}}},
        {
            "conversation": {
                "conversationContext": {
                    "type": "SharkContext",
                    "features": ["RICH_CONTENT"],
                    "clientProperties": {"any": "thing"},
                }
            }
        },
        sde(type="personal", personal={}, auth={"amr": ["pwd"]}),
        sde(type="ctmrinfo", info={}),
        sde(type="ctmrinfo", info={"storeNumber": "123865", "storeZipCode": "20505"}),
        sde(type="ctmrinfo", info={"balance": -400.99, "companySize": 5, "loginStatus": 1}),
        sde(type="ctmrinfo", info={"lastPaymentDate": {"day": 15, "month": 10, "year": 2014}}),
        sde(
            type="personal",
            personal={
                "age": {"age": 34, "year": 1980},
                "contacts": [{"phoneType": "WORK_FAX", "address": {"country": "DE"}}],
                "language": "en_US",
            },
            auth={"amr": ["pwd", "otp"], "iss": "https://brand.example"},
        ),
        {"profile": {"nickName": "J", "userId": "u", "privateData": {"mail": "a@example.com"}}},
        {"clientProperties": {"type": ".ams.headers.ClientProperties", "features": ["BRAND_NEW"]}},
        {"clientProperties": {"type": "ClientProperties", "ipAddress": "2001:db8::1"}},
        {"clientProperties": {"type": "x", "os": "iPadOS", "deviceFamily": "PHONE", "appId": "1"}},
        {"engagement": {}},
        {"engagement": {"engagementAttributes": [{"type": "purchase", "total": 11.7}]}},
        {
            "engagement": {
                "engagementAttributes": [
                    {"type": "ctmrinfo", "info": {"customerId": "1"}},
                    {"type": "personal", "personal": {}},
                ]
            }
        },
        {
            "engagement": {
                "identities": [{"iss": "https://brand.example", "acr": "loa1", "sub": "me"}],
                "engagementAttributes": [{"type": "ctmrinfo", "info": {"customerId": "1"}}],
            }
        },
        {"engagement": {"clientProperties": {"os": "MAC_OSX"}}},
        {"itemMetadata": {"conversation": [{"type": "ExternalId", "id": "4711"}]}},
        {"onOpenConversation": "reuse"},
        {"notBefore": "2026-01-31T09:00:00Z", "expiresAt": "2026-01-31T09:00:00.000001Z"},
        {"priority": 9},
        {"metadata": {}},
        {"metadata": {"any": [1, 2.5, None, {"depth": True}]}},
    ],
)
def test_takes(fields: dict[str, Any]) -> None:
    """What is documented passes, the schema's check too, and comes out as it went in."""
    SCHEMA.validate(job(**fields))
    parsed = parse(job(**fields))
    assert parsed.profile == fields.get("profile", {})
    assert parsed.conversation.items() >= fields.get("conversation", {}).items()
    assert parsed.client_properties == fields.get("clientProperties")
    assert parsed.metadata == fields.get("metadata")


@pytest.mark.parametrize(
    ("conversation", "sent"),
    [
        ({"skillId": 4711}, {"skillId": "4711"}),
        ({"skillId": -1}, {"skillId": "-1"}),
        ({"skillId": 4711.0}, {"skillId": "4711"}),
        (
            {"campaignInfo": {"campaignId": 99999, "engagementId": 888888}},
            {"campaignInfo": {"campaignId": "99999", "engagementId": "888888"}},
        ),
        (
            {"conversationContext": {"type": "SharkContext", "interactionContextId": 2}},
            {"conversationContext": {"type": "SharkContext", "interactionContextId": "2"}},
        ),
    ],
)
def test_numbers_become_the_documented_strings(
    conversation: dict[str, Any], sent: dict[str, Any]
) -> None:
    """The four ids that LivePerson's own answers hold as numbers are sent as strings."""
    assert parse(job(conversation=conversation)).conversation.items() >= sent.items()


@pytest.mark.parametrize("name", ["visitorId", "sessionId"])
def test_what_monitoring_gave_is_a_shark_context(name: str) -> None:
    """LivePerson: always use SharkContext there. Elsewhere nothing is filled in."""
    given = parse(job(conversation={"conversationContext": {name: "x"}}))
    said = parse(job(conversation={"conversationContext": {name: "x", "type": "SharkContext"}}))
    assert given.conversation["conversationContext"] == {"type": "SharkContext", name: "x"}
    assert given.digest == said.digest
    other = parse(job(conversation={"conversationContext": {"interactionContextId": "2"}}))
    assert "type" not in other.conversation["conversationContext"]


def test_the_header_has_a_type() -> None:
    """LivePerson's schema requires it; filled in, it makes no other content."""
    bare = parse(job(clientProperties={"features": ["AUTO_MESSAGES"]}))
    assert bare.client_properties == {"type": ".ClientProperties", "features": ["AUTO_MESSAGES"]}
    assert bare.digest == parse(job(clientProperties=bare.client_properties)).digest
    assert bare.warnings == ()


PASSING = Reading(pass_unknown=True)
UNKNOWN = job(
    conversation={"queuePriority": "HIGH", "skilId": "7", "campaignInfo": CAMPAIGN | {"new": [1]}},
    profile={"authenticatedData": {"lp_sdes": [{"type": "ctmrinfo", "info": {"tier": {"a": 1}}}]}},
    clientProperties={"screen": "wide"},
    itemMetadata={"profile": [{"type": "ActionReason", "code": 7}]},
)


def test_unknown_fields_of_livepersons_can_be_passed_on() -> None:
    """What LivePerson adds needs no release; the suggestion becomes a warning."""
    parsed = parse_job(UNKNOWN, accounts=[ACCOUNT], reading=PASSING)
    assert parsed.conversation.items() >= UNKNOWN["conversation"].items()
    assert parsed.profile == UNKNOWN["profile"]
    assert parsed.client_properties == {"type": ".ClientProperties", "screen": "wide"}
    said = "is not a known field, and is sent as it is"
    assert parsed.item_metadata == UNKNOWN["itemMetadata"]
    assert len(parsed.warnings) == 6
    assert f"conversation.skilId: {said}; did you mean skillId?" in parsed.warnings
    with pytest.raises(InvalidJob, match="screen: is not a known field; "):
        parse(UNKNOWN)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"queuePriority": "HIGH"}, "queuePriority: is not a known field; "),
        ({"conversation": {"skillId": "x"}}, "conversation.skillId: has the wrong format; "),
        ({"itemMetadata": {"item": []}}, "itemMetadata.item: is not a known field; "),
    ],
)
def test_passing_is_about_names_within_livepersons_objects(
    fields: dict[str, Any], fault: str
) -> None:
    """The job's own level and every type stay as strict; what passes is no fault beside them."""
    with pytest.raises(InvalidJob) as caught:
        parse_job(job(profile={"new": 1}) | fields, accounts=[ACCOUNT], reading=PASSING)
    assert caught.value.message.startswith(fault)
    assert " | " not in caught.value.message


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        (
            {"clientProperties": {"type": "ClientProperties"}},
            "clientProperties.type: is none of .ClientProperties, .ams.headers.ClientProperties",
        ),
        (
            {"clientProperties": {"os": "Windows 11"}},
            "clientProperties.os: is none of WINDOWS, LINUX, OSX, ANDROID, IOS, OTHER",
        ),
        (
            {"clientProperties": {"ipAddress": "2001:db8::1"}},
            "clientProperties.ipAddress: is no IPv4 address",
        ),
        (
            {"consumerId": "c-1\u00a0"},
            "consumerId: begins or ends with a blank, so that it is not the same as without it",
        ),
        (
            {"jobId": " order-1"},
            "jobId: begins or ends with a blank, so that it is not the same as without it",
        ),
        (
            {"conversation": {"conversationContext": {"lang": "English (US)"}}},
            "conversation.conversationContext.lang: is no language tag such as en-US",
        ),
        (
            {"engagement": {"identities": [{"acr": "loa1", "sub": "me"}]}},
            (
                "engagement.identities[0].iss: is missing, and LivePerson's pages differ on "
                "whether it may be"
            ),
        ),
    ],
)
def test_what_may_be_a_mistake_is_said(fields: dict[str, Any], warning: str) -> None:
    """Clients in use send it, or it may be one tomorrow: it goes out, with a warning."""
    assert parse(job(**fields)).warnings == (f"{warning}; it is sent as it is",)


@pytest.mark.parametrize("lang", ["en", "en-US", "zh-Hans-CN", "en_US", "es-419"])
def test_language_tags(lang: str) -> None:
    """A tag may have a script and a region, and be written with an underscore."""
    assert parse(job(conversation={"conversationContext": {"lang": lang}})).warnings == ()


def test_a_year_may_be_a_text() -> None:
    """So LivePerson's own example has it; it is sent as the integer that its type says."""
    parsed = parse(job(**sde(type="personal", personal={"age": {"year": "1969"}})))
    (attribute,) = parsed.profile["authenticatedData"]["lp_sdes"]
    assert attribute["personal"]["age"] == {"year": 1969}


def test_whole_numbers_are_integers_however_they_are_written() -> None:
    """30.0 is an integer to JSON Schema and in LivePerson's sample; it is sent as 30."""
    parsed = parse(job(priority=5.0, **sde(type="personal", personal={"age": {"age": 30.0}})))
    assert repr(parsed.priority) == "5"
    age = parsed.profile["authenticatedData"]["lp_sdes"][0]["personal"]["age"]["age"]
    assert repr(age) == "30"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T09:00:00Z", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31t09:00:00z", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T10:00:00+01:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T00:00:00-23:59", datetime(2026, 1, 31, 23, 59, tzinfo=UTC)),
        ("2026-01-31T09:00:00.5Z", datetime(2026, 1, 31, 9, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T09:00:00.123456789Z", datetime(2026, 1, 31, 9, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_reads_moments(text: str, moment: datetime) -> None:
    """RFC 3339 with any offset is a moment in UTC."""
    not_before = parse(job(notBefore=text)).not_before
    assert not_before == moment
    assert not_before is not None
    assert not_before.utcoffset() == timedelta()


FULL = job(
    profile={"firstName": "J", "authenticatedData": {"lp_sdes": []}},
    conversation={"skillId": "7", "campaignInfo": {"campaignId": "1", "engagementId": "2"}},
    clientProperties={"features": ["AUTO_MESSAGES"]},
    notBefore="2026-01-31T09:00:00Z",
    expiresAt="2026-01-31T18:00:00Z",
    priority=3,
    metadata={"a": 1, "b": 2},
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"jobId": "another"},
        {"submissionId": "another"},
        {"onOpenConversation": "fail"},
        {"notBefore": "2026-01-31T10:00:00.000+01:00"},
        {"metadata": {"b": 2, "a": 1}},
        {
            "conversation": {
                "campaignInfo": {"engagementId": 2, "campaignId": 1},
                "channelType": "MESSAGING",
                "brandId": ACCOUNT,
                "skillId": 7,
            }
        },
    ],
)
def test_the_same_content_has_the_same_digest(changes: dict[str, Any]) -> None:
    """Order of keys, form of ids and moments, and what is filled in make no difference."""
    assert parse(FULL | changes).digest == parse(FULL).digest
    assert re.fullmatch("[0-9a-f]{64}", parse(FULL).digest)


@pytest.mark.parametrize(
    "changes",
    [
        {"accountId": "87654321"},
        {"consumerId": "c-2"},
        {"profile": {}},
        {"conversation": {}},
        {"conversation": {}, "engagement": {}},
        {"clientProperties": {}},
        {"onOpenConversation": "reuse"},
        {"notBefore": "2026-01-31T09:00:01Z"},
        {"expiresAt": "2026-01-31T18:00:01Z"},
        {"priority": 4},
        {"metadata": {"a": 1}},
    ],
)
def test_other_content_has_another_digest(changes: dict[str, Any]) -> None:
    """Every field but the jobId and the submissionId counts."""
    assert parse(FULL | changes).digest != parse(FULL).digest


def test_a_job_shows_no_content_in_its_repr() -> None:
    """A job in a log line or a traceback tells its ids alone."""
    shown = repr(parse(job(profile={"firstName": "Johanna"}, metadata={"note": "private"})))
    assert "Johanna" not in shown
    assert "private" not in shown
    assert "order-4711" in shown


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["SharkContext", "ctmrinfo", "MESSAGING", ACCOUNT, "2026-01-31T09:00:00Z"])
)
names = st.sampled_from(
    # Every name that the schema knows, on any level.
    sorted(set(re.findall(r'"([A-Za-z_]+)": \{', json.dumps(JOB_DOCUMENT.json_schema()))))
) | st.text(st.characters(exclude_categories=()), max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(
    values | st.builds(lambda fields: job() | fields, st.dictionaries(names, values, max_size=6))
)
def test_any_value_is_a_job_or_an_invalid_job(value: object) -> None:
    """Nothing that a producer can send raises anything else."""
    try:
        parsed = parse(value)
    except InvalidJob:
        return
    assert parsed.conversation["brandId"] == parsed.account_id
