"""What is said about what is no job: the field, what is wrong with it, and what to do."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tasks.messages.fields.faults import MAX_FAULTS, NEWER
from tasks.messages.job import (
    JOB_MAX_BYTES,
    METADATA_MAX_BYTES,
    PASTED,
    InvalidJob,
    Job,
    Reading,
    parse_job,
    readable_job_id,
)
from tasks.messages.schema import schema

ACCOUNT = "12345678"
SCHEMA = Draft202012Validator(schema("job"))


def job(**fields: Any) -> dict[str, Any]:
    return {"jobId": "order-4711", "accountId": ACCOUNT, "consumerId": "c-1"} | fields


def parse(document: object) -> Job:
    return parse_job(document, accounts={ACCOUNT, "87654321"})


def refusal(document: object) -> InvalidJob:
    with pytest.raises(InvalidJob) as caught:
        parse(document)
    return caught.value


def sde(**item: Any) -> dict[str, Any]:
    return {"profile": {"authenticatedData": {"lp_sdes": [item]}}}


SDE = "profile.authenticatedData.lp_sdes[0]"
SDE_FORMS = (
    'give {"type": "ctmrinfo", "info": {…}, "auth": {…}} '
    'or {"type": "personal", "personal": {…}, "auth": {…}}'
)
SKILL = 'conversation.skillId: has the wrong format; give 1 to 10 digits, or "-1" for all skills'
NO_MOMENT = "is not an RFC 3339 date-time with an offset; write it as 2026-01-31T09:00:00Z"
LEAP_SECOND = (
    "is in a leap second, which no clock here counts; write the second before or after it, such as "
    "23:59:59"
)
NOT_EXISTING = "is not a valid date and time; correct it"


def in_context(**fields: Any) -> dict[str, Any]:
    return {"conversation": {"conversationContext": fields}}


# What the published schema refuses as well.
SHAPES: list[tuple[dict[str, Any], str]] = [
    ({"metaData": {}}, "metaData: is not a known field; did you mean metadata?"),
    ({"job_id": "1"}, "job_id: is not a known field; did you mean jobId?"),
    ({"skillId": "1"}, "skillId: is not a known field; did you mean conversation.skillId?"),
    (
        {"conversation": {"skilId": "1"}},
        "conversation.skilId: is not a known field; did you mean skillId?",
    ),
    (
        {"conversation": {"SKILLID": "1"}},
        "conversation.SKILLID: is not a known field; did you mean skillId?",
    ),
    (
        {"conversation": {"priority": 1}},
        f"conversation.priority: is not a known field; did you mean the job's own priority?{NEWER}",
    ),
    (
        {"conversation": {"campaignInfo": {"campaignID": "1"}}},
        "conversation.campaignInfo.campaignID: is not a known field; did you mean campaignId?",
    ),
    (
        in_context(type="SharkContext", visitorld="1"),
        "conversation.conversationContext.visitorld: is not a known field; did you mean visitorId?",
    ),
    (
        in_context(visitor="1"),
        "conversation.conversationContext.visitor: is not a known field; did you mean visitorId?",
    ),
    (
        in_context(type="SMSContext", sessionId="1"),
        (
            "conversation.conversationContext.sessionId: is not a known field; "
            f"did you mean engagement.sessionId?{NEWER}"
        ),
    ),
    (
        {"clientProperties": {"feature": []}},
        "clientProperties.feature: is not a known field; did you mean features?",
    ),
    (
        {"engagement": {"zzz": 1}},
        (
            "engagement.zzz: is not a known field; known here: visitorId, sessionId, consumerId, "
            f"identities, clientProperties, entryPoints, engagementAttributes{NEWER}"
        ),
    ),
    (
        {"firstMessage": "Hello"},
        (
            "firstMessage: is not a known field; put it into metadata, for the stage that sends "
            "the first message"
        ),
    ),
    (
        sde(type="personal", personal={"firstName": "x"}),
        f"{SDE}.personal.firstName: is not a known field; did you mean firstname?",
    ),
    (sde(ctmrinfo={}), f"{SDE}: is an object without a known type; {SDE_FORMS}"),
    (sde(personal={}), f"{SDE}: is an object without a known type; {SDE_FORMS}"),
    (sde(type="purchase"), f"{SDE}: is an object without a known type; {SDE_FORMS}"),
    (sde(type="ctmrinfo", info=None), f"{SDE}.info: is null; give an object"),
    (
        sde(type="ctmrinfo", info={"companySize": True}),
        f"{SDE}.info.companySize: is a boolean; give an integer",
    ),
    (
        sde(type="ctmrinfo", info={"balance": "1"}),
        f"{SDE}.info.balance: is a string of 1 character; give a number",
    ),
    (
        sde(type="ctmrinfo", info={"registrationDate": {"day": 1, "month": 2}}),
        f"{SDE}.info.registrationDate.year: is missing; give an integer",
    ),
    (
        sde(type="personal", personal={"gender": "male"}),
        (
            f"{SDE}.personal.gender: is a string of 4 characters; "
            "give one of MALE, FEMALE, OTHER; did you mean MALE?"
        ),
    ),
    (
        sde(type="personal", personal={"contacts": {}}),
        f"{SDE}.personal.contacts: is an object; give an array",
    ),
    ({"jobId": ""}, "jobId: is a string of 0 characters; give a string of 1 to 128 characters"),
    ({"jobId": 4711}, "jobId: is an integer; give a string of 1 to 128 characters"),
    ({"jobId": None}, "jobId: is null; give a string of 1 to 128 characters"),
    (
        {"jobId": "j" * 129},
        "jobId: is a string of 129 characters; give a string of 1 to 128 characters",
    ),
    ({"jobId": "a\nb"}, "jobId: contains a control character; remove it"),
    ({"consumerId": "a\x85"}, "consumerId: contains a control character; remove it"),
    (
        {"consumerId": "c" * 513},
        "consumerId: is a string of 513 characters; give a string of 1 to 512 characters",
    ),
    ({"accountId": 1}, "accountId: is an integer; give a string of 1 to 64 characters"),
    ({"profile": []}, "profile: is an array of 0 items; give an object"),
    ({"conversation": "x"}, "conversation: is a string of 1 character; give an object"),
    ({"conversation": {"skillId": "12345678901"}}, SKILL),
    ({"conversation": {"skillId": 12345678901}}, SKILL),
    ({"conversation": {"skillId": "-2"}}, SKILL),
    ({"conversation": {"skillId": "sales"}}, SKILL),
    (
        {"conversation": {"skillId": True}},
        "conversation.skillId: is a boolean; give a string or an integer from -1 to 9999999999",
    ),
    (
        {"conversation": {"campaignInfo": {"campaignId": 1.5}}},
        (
            "conversation.campaignInfo.campaignId: is a number; "
            "give a string of 1 to 64 characters or an integer"
        ),
    ),
    (
        {"conversation": {"channelType": "CHAT"}},
        'conversation.channelType: is a string of 4 characters; give "MESSAGING"',
    ),
    (
        {"conversation": {"ttrDefName": "urgent"}},
        (
            "conversation.ttrDefName: is a string of 6 characters; give one of NORMAL, URGENT, "
            "PRIORITIZED, CUSTOM or null; did you mean URGENT?"
        ),
    ),
    (
        in_context(type=""),
        (
            "conversation.conversationContext.type: is a string of 0 characters; "
            "give a string of at least 1 character"
        ),
    ),
    (
        {"conversation": {"conversationContext": []}},
        "conversation.conversationContext: is an array of 0 items; give an object",
    ),
    (
        {"engagement": {"clientProperties": {"ipAddress": "192.0.2.256"}}},
        (
            "engagement.clientProperties.ipAddress: has the wrong format; "
            "give an IPv4 address, such as 192.0.2.10"
        ),
    ),
    (
        {"clientProperties": {"appVersion": "1" * 33}},
        (
            "clientProperties.appVersion: is a string of 33 characters; "
            "give a string of at most 32 characters"
        ),
    ),
    (
        {"clientProperties": {"type": ""}},
        ("clientProperties.type: is a string of 0 characters; give a string of 1 to 64 characters"),
    ),
    (
        {"conversation": {"campaignInfo": {"campaignId": "1"}}},
        (
            "conversation.campaignInfo.engagementId: is missing; "
            "give a string of 1 to 64 characters or an integer"
        ),
    ),
    (sde(type="ctmrinfo"), f"{SDE}.info: is missing; give an object"),
    (sde(type="personal"), f"{SDE}.personal: is missing; give an object"),
    (
        sde(type="personal", personal={"age": {"year": "69"}}),
        f"{SDE}.personal.age.year: is a string of 2 characters; give an integer or a string",
    ),
    (
        {"engagement": {"identities": [{"iss": "x", "sub": "x"}]}},
        "engagement.identities[0].acr: is missing; give one of 0, loa1",
    ),
    (
        {"engagement": {"identities": [{"iss": "", "acr": "loa1", "sub": "x"}]}},
        (
            "engagement.identities[0].iss: is a string of 0 characters; "
            "give a string of at least 1 character"
        ),
    ),
    (
        {"engagement": {"identities": [{"iss": "x", "acr": "loa1"}]}},
        "engagement.identities[0].sub: is missing; give a string of at least 1 character",
    ),
    (
        {"itemMetadata": {"conversation": [{"type": "ExternalId", "ID": "1"}]}},
        "itemMetadata.conversation[0].id: is missing; give a string of at most 64 characters",
    ),
    (
        {"itemMetadata": {"profile": [{"type": "ActionReason", "reasonID": "1"}]}},
        "itemMetadata.profile[0].reasonID: is not a known field; did you mean reasonId?",
    ),
    (
        {"engagement": {"engagementAttributes": [{}]}},
        (
            "engagement.engagementAttributes[0].type: is missing; "
            "give a string of at least 1 character"
        ),
    ),
    (
        {"engagement": {"engagementAttributes": [{"type": "ctmrinfo", "info": {"x": 1}}]}},
        (
            "engagement.engagementAttributes[0].info.x: is not a known field; known here: ctype, "
            "cstatus, balance, currency, customerId, socialId, imei, userName, companySize, "
            "companyBranch, accountName, role, lastPaymentDate, registrationDate, loginStatus, "
            f"storeZipCode, storeNumber{NEWER}"
        ),
    ),
    (
        {"onOpenConversation": "Reuse"},
        (
            "onOpenConversation: is a string of 5 characters; give one of fail, reuse; "
            "did you mean reuse?"
        ),
    ),
    ({"priority": 10}, "priority: is out of range; give an integer from 0 to 9"),
    ({"priority": True}, "priority: is a boolean; give an integer from 0 to 9"),
    ({"priority": 1.5}, "priority: is a number; give an integer from 0 to 9"),
    ({"metadata": []}, "metadata: is an array of 0 items; give an object"),
    ({"notBefore": 1769850000}, f"notBefore: {NO_MOMENT}"),
    ({"x y": 1, "priority": -1}, "priority: is out of range; give an integer from 0 to 9"),
]

# What a schema cannot say.
CONTENTS: list[tuple[dict[str, Any], str]] = [
    (
        {"jobId": "é" * 128},
        "jobId: is longer than 255 bytes in UTF-8, the limit for a message id; give a shorter one",
    ),
    (
        {"jobId": "\ud800"},
        "jobId: contains half of a surrogate pair; send whole Unicode characters",
    ),
    ({"notBefore": "2026-01-31"}, f"notBefore: {NO_MOMENT}"),
    ({"notBefore": "2026-01-31T09:00:00"}, f"notBefore: {NO_MOMENT}"),
    ({"notBefore": "2026-01-31 09:00:00Z"}, f"notBefore: {NO_MOMENT}"),
    ({"notBefore": "2026-W05-6T09:00:00Z"}, f"notBefore: {NO_MOMENT}"),
    ({"notBefore": "2026-01-31T24:00:00Z"}, f"notBefore: {NO_MOMENT}"),
    ({"notBefore": "2016-12-31T23:59:60Z"}, f"notBefore: {LEAP_SECOND}"),
    ({"expiresAt": "2017-01-01T08:59:60.5+09:00"}, f"expiresAt: {LEAP_SECOND}"),
    ({"notBefore": "2026-02-30T09:00:00Z"}, f"notBefore: {NOT_EXISTING}"),
    ({"expiresAt": "0001-01-01T00:00:00+01:00"}, f"expiresAt: {NOT_EXISTING}"),
    (
        {"notBefore": "2026-01-31T09:00:00Z", "expiresAt": "2026-01-31T10:00:00+01:00"},
        "expiresAt: is not after notBefore, so the job could never be sent; correct one",
    ),
    (
        {"conversation": {"brandId": "87654321"}},
        "conversation.brandId: is not the job's account; omit it; Overture fills it in",
    ),
    (
        {
            "engagement": {},
            "conversation": {"campaignInfo": {"campaignId": "1", "engagementId": "2"}},
        },
        "engagement: cannot be combined with conversation.campaignInfo; omit one of the two",
    ),
    (
        {
            "engagement": {
                "identities": [{"iss": "x", "acr": "0", "sub": "x"}],
                "engagementAttributes": [{"type": "ctmrinfo", "info": {"customerId": "1"}}],
            }
        },
        (
            "engagement.engagementAttributes: names a customerId, but none of the identities is "
            "authenticated, and LivePerson fails such a call; omit it, or give an identity with "
            "acr loa1"
        ),
    ),
    (
        {"metadata": {"a": float("nan")}},
        (
            "the job: contains values that not every JSON parser reads alike; "
            "remove NaN, half surrogate pairs and nesting deeper than 64 levels"
        ),
    ),
    (
        {"profile": {"description": "x" * JOB_MAX_BYTES}},
        "the job: is 262321 bytes as compact JSON; the limit is 262144",
    ),
    (
        {"clientProperties": {"features": ["é" * 64] * 11}},
        "clientProperties: is 4298 bytes as compact JSON; the limit is 4096",
    ),
]


@pytest.mark.parametrize("fields", [fields for fields, _ in SHAPES])
def test_the_schema_refuses_the_same(fields: dict[str, Any]) -> None:
    """Who checks a job by the published schema learns most of what we would say."""
    assert not SCHEMA.is_valid(job(**fields))


@pytest.mark.parametrize(("fields", "fault"), SHAPES + CONTENTS)
def test_refuses(fields: dict[str, Any], fault: str) -> None:
    """A fault names the field, tells the value's shape, and says what to do."""
    error = refusal(job(**fields))
    assert error.code == "invalid_job"
    assert fault in error.message.split(" | ")
    assert str(error) == error.message


def test_metadata_is_measured_as_compact_utf_8() -> None:
    """Four KiB fit exactly, counted in bytes, not in characters."""
    room = METADATA_MAX_BYTES - len('{"a":"é"}'.encode())
    fitting = {"a": "é" + "x" * room}
    assert parse(job(metadata=fitting)).metadata == fitting
    assert refusal(job(metadata={"a": "é" + "x" * (room + 1)})).message == (
        "metadata: is 4097 bytes as compact JSON; the limit is 4096"
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "the job: is null; give an object"),
        ([], "the job: is an array of 0 items; give an object"),
        ([{"type": "userprofile.SetUserProfile", "body": {}}], PASTED),
        ("job", "the job: is a string of 3 characters; give an object"),
        (
            {},
            (
                "jobId: is missing; give a string of 1 to 128 characters | "
                "consumerId: is missing; give a string of 1 to 512 characters"
            ),
        ),
        (
            job(**{"\ud800": 1}),
            "the job: contains half of a surrogate pair; send whole Unicode characters",
        ),
    ],
)
def test_refuses_what_is_no_job_at_all(document: object, message: str) -> None:
    """All faults stand in one text."""
    assert refusal(document).message == message


def test_no_value_is_repeated() -> None:
    """A job's values are somebody's data: neither message nor exception chain holds them."""
    secret = "do-not-repeat-me"
    error = refusal(
        job(
            jobId=secret * 20,
            conversation={"skillId": secret, "ttrDefName": secret},
            metadata=secret,
            **sde(type="personal", personal={"firstname": [secret], "gender": secret}),
        )
    )
    assert secret not in error.message
    assert error.__context__ is None


def test_the_list_of_faults_is_bounded() -> None:
    """A job of nothing but faults gets a message that can still be read."""
    error = refusal(job(**{f"{'x' * 100}{number}": 1 for number in range(100)}))
    faults = error.message.split(" | ")
    assert len(faults) == MAX_FAULTS + 1
    assert faults[-1] == "and 80 more"
    assert max(map(len, faults)) < 300


@pytest.mark.parametrize(
    ("document", "job_id"),
    [
        (job(priority=10), "order-4711"),
        ({"jobId": "1"}, "1"),
        (job(jobId=1), None),
        ({}, None),
        (["jobId"], None),
    ],
)
def test_an_invalid_job_keeps_the_id_it_has(document: object, job_id: str | None) -> None:
    """It is there for the dead letter, where it can be read."""
    assert readable_job_id(document) == job_id


def test_a_lone_account_needs_no_name() -> None:
    """With exactly one account configured, the job may leave it out."""
    document = {"jobId": "1", "consumerId": "c"}
    assert parse_job(document, accounts=[ACCOUNT]).account_id == ACCOUNT
    assert refusal(document).message == (
        "accountId: is missing; 2 accounts are configured, so name one"
    )


def test_the_consumers_of_an_account_may_be_unauthenticated() -> None:
    """Its settings say so; then the identities that are filled in are of that kind alone."""
    attribute = {"type": "ctmrinfo", "info": {"customerId": "1"}}
    document = job(engagement={"engagementAttributes": [attribute]})
    assert parse(document).engagement
    with pytest.raises(InvalidJob, match="none of the identities is authenticated"):
        parse_job(
            document, accounts=[ACCOUNT], reading=Reading(unauthenticated=frozenset({ACCOUNT}))
        )


@pytest.mark.parametrize("accounts", [[], ["87654321"], ["87654321", "1"]])
def test_an_account_that_is_not_configured(accounts: list[str]) -> None:
    """It has an error code of its own, for the job itself may be right."""
    with pytest.raises(InvalidJob) as caught:
        parse_job(job(), accounts=accounts)
    assert caught.value.code == "unknown_account"
    assert caught.value.message == (
        "accountId: is not a configured account; correct it, or configure that account"
    )
