"""A job: one LivePerson conversation to open, checked and ready to send."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, cast

from pydantic import TypeAdapter, ValidationError

from tasks.messages.fields import client_properties
from tasks.messages.fields.conversation import (
    CHANNEL_TYPE,
    SHARK_CONTEXT,
    Conversation,
    SharkContext,
)
from tasks.messages.fields.document import JOB_DOCUMENT, JobDocument
from tasks.messages.fields.engagement import Engagement as EngagementFields
from tasks.messages.fields.faults import passed, sentences
from tasks.messages.fields.kinds import STRICT, JobId
from tasks.messages.json_text import MAX_DEPTH, dumps_ascii, dumps_compact, is_too_deep

JOB_MAX_BYTES: Final = 256 * 1024
METADATA_MAX_BYTES: Final = 4 * 1024
CLIENT_PROPERTIES_MAX_BYTES: Final = 4 * 1024

PASTED: Final = (
    "the job: is an array, as LivePerson's own requests are; give the body of the first item as "
    "profile and that of the second as conversation, with a jobId and a consumerId (overture "
    "submit reads that form by itself)"
)

# A language tag in its usual form (RFC 5646): a language, then script, region and variants.
_LANGUAGE_TAG: Final = re.compile("[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How documents are read.

    With `pass_unknown`, unknown fields of LivePerson's objects are sent, with a warning. The
    accounts in `unauthenticated` have only unauthenticated consumers.
    """

    pass_unknown: bool = False
    unauthenticated: frozenset[str] = frozenset()


AS_DOCUMENTED: Final = Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """The request to the Monitoring API: two query parameters, and the body."""

    visitor_id: str | None
    session_id: str | None
    body: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One conversation to open.

    `profile` and `conversation` are the bodies of the two requests, complete; `client_properties`
    is the object of the `Client-Properties` header, `item_metadata` the metadata of the two
    requests by these names. `digest` (64 hex characters) is that of the content, whatever the order
    of its keys and the notation of ids and times: two jobs with one id and two digests are a
    conflict. `warnings` has a sentence for each value that is sent, but may be a mistake.
    """

    job_id: str
    account_id: str
    consumer_id: str
    profile: JsonObject = field(repr=False)
    conversation: JsonObject = field(repr=False)
    engagement: Engagement | None = field(repr=False)
    client_properties: JsonObject | None = field(repr=False)
    item_metadata: JsonObject = field(repr=False)
    on_open_conversation: Literal["fail", "reuse"]
    not_before: datetime | None
    expires_at: datetime | None
    priority: int
    submission_id: str | None
    metadata: JsonObject | None = field(repr=False)
    digest: str
    content: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()


class InvalidJob(Exception):
    """A job with faults: `message` names each of them, and what to do.

    `code` is the error code of its dead letter.
    """

    def __init__(self, code: Literal["invalid_job", "unknown_account"], message: str) -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message


def readable_job_id(document: object) -> str | None:
    """Return the jobId of a document that may be invalid otherwise; None if it has none."""
    try:
        return _JOB_ID.validate_python(document["jobId"] if isinstance(document, dict) else None)
    except (KeyError, ValidationError):
        return None


def parse_job(
    document: object, *, accounts: Collection[str], reading: Reading = AS_DOCUMENTED
) -> Job:
    """Check a document from the strict reader, and fill in what may be left out.

    `accounts` are the ids of the configured accounts; with exactly one, `accountId` may be left
    out. Raises `InvalidJob`, and no other exception.
    """
    fields, unknown = _read(document, reading)
    account_id = _account_id(fields, accounts)
    complete: JobDocument = {
        **fields,
        "accountId": account_id,
        "profile": fields.get("profile", {}),
        "conversation": {
            **_with_context_type(fields.get("conversation", {})),
            "brandId": account_id,
            "channelType": CHANNEL_TYPE,
        },
        "onOpenConversation": fields.get("onOpenConversation", "fail"),
        "priority": fields.get("priority", 0),
    }
    if (properties := fields.get("clientProperties")) is not None:
        complete["clientProperties"] = {"type": client_properties.DEFAULT_TYPE, **properties}
    canonical = _canonical(complete)
    faults = [*_contradictions(fields, account_id, reading), *_excesses(complete, canonical)]
    if canonical is None or faults:
        raise _invalid(faults)
    warnings = (*unknown, *_oddities(complete))
    return _job(complete, canonical, warnings=warnings)


def _with_context_type(conversation: Conversation) -> Conversation:
    """Add the type that LivePerson requires to a context with Monitoring's visitor or session."""
    context = cast("JsonObject", conversation.get("conversationContext", {}))
    if "type" in context or not context.keys() & {"visitorId", "sessionId"}:
        return conversation
    typed = cast("SharkContext", {"type": SHARK_CONTEXT, **context})
    return {**conversation, "conversationContext": typed}


def _oddities(complete: JobDocument) -> Iterator[str]:
    for name, value in (("jobId", complete["jobId"]), ("consumerId", complete["consumerId"])):
        if value != value.strip():
            yield (
                f"{name}: begins or ends with a blank, so that it is not the same as without it; "
                "it is sent as it is"
            )
    yield from client_properties.oddities(complete.get("clientProperties", {}))
    context = cast("JsonObject", complete["conversation"].get("conversationContext", {}))
    language = context.get("lang")
    if isinstance(language, str) and not _LANGUAGE_TAG.fullmatch(language):
        yield (
            "conversation.conversationContext.lang: is no language tag such as en-US; it is sent "
            "as it is"
        )
    for number, identity in enumerate(complete.get("engagement", {}).get("identities", [])):
        if "iss" not in identity:
            yield (
                f"engagement.identities[{number}].iss: is missing, and LivePerson's pages differ "
                "on whether it may be; it is sent as it is"
            )


def _read(document: object, reading: Reading) -> tuple[JobDocument, list[str]]:
    """Check the fields; also return warnings about unknown fields that are passed through."""
    try:
        return JOB_DOCUMENT.validate_python(document), []
    except ValidationError as error:
        faults = sentences(error, pass_unknown=reading.pass_unknown)
        unknown = passed(error)
    if isinstance(document, list) and any(
        isinstance(one, dict) and "body" in one for one in document
    ):
        faults = [PASTED]
    if faults:
        # Raised outside the handler: pydantic's error contains the job's values.
        raise _invalid(faults)
    return JOB_DOCUMENT.validate_python(document, extra="allow"), unknown


def _account_id(fields: JobDocument, accounts: Collection[str]) -> str:
    account_id = fields.get("accountId")
    if account_id is None:
        if len(accounts) == 1:
            return next(iter(accounts))
        fault = f"accountId: is missing; {len(accounts)} accounts are configured, so name one"
        raise _invalid([fault])
    if account_id not in accounts:
        fault = "accountId: is not a configured account; correct it, or configure that account"
        raise InvalidJob("unknown_account", fault)
    return account_id


def _canonical(complete: JobDocument) -> bytes | None:
    """Return the content as canonical JSON, without the labels; None if JSON has no form for it."""
    content = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in complete.items()
        if name not in {"jobId", "submissionId"}
    }
    try:
        canonical = dumps_compact(content, sort_keys=True)
    except (ValueError, TypeError):
        return None
    return None if is_too_deep(content, canonical) else canonical


def _contradictions(fields: JobDocument, account_id: str, reading: Reading) -> Iterator[str]:
    conversation = fields.get("conversation", {})
    if conversation.get("brandId", account_id) != account_id:
        yield "conversation.brandId: is not the job's account; omit it; Overture fills it in"
    if "engagement" in fields and "campaignInfo" in conversation:
        yield "engagement: cannot be combined with conversation.campaignInfo; omit one of the two"
    if _names_customer(fields.get("engagement", {})) and not _is_authenticated(
        fields["engagement"], by_default=account_id not in reading.unauthenticated
    ):
        yield (
            "engagement.engagementAttributes: names a customerId, but none of the identities is "
            "authenticated, and LivePerson fails such a call; omit it, or give an identity with "
            "acr loa1"
        )
    not_before, expires_at = fields.get("notBefore"), fields.get("expiresAt")
    if not_before and expires_at and expires_at <= not_before:
        yield "expiresAt: is not after notBefore, so the job could never be sent; correct one"


def _names_customer(engagement: EngagementFields) -> bool:
    attributes = cast("list[JsonObject]", engagement.get("engagementAttributes", []))
    return any(
        "customerId" in attribute["info"]
        for attribute in attributes
        if attribute["type"] == "ctmrinfo"
    )


def _is_authenticated(engagement: EngagementFields, *, by_default: bool) -> bool:
    identities = engagement.get("identities")
    return any(one["acr"] == "loa1" for one in identities) if identities else by_default


def _excesses(complete: JobDocument, canonical: bytes | None) -> Iterator[str]:
    if canonical is None:
        yield (
            "the job: contains values that not every JSON parser reads alike; "
            f"remove NaN, half surrogate pairs and nesting deeper than {MAX_DEPTH} levels"
        )
        return
    # A header is ASCII: any other character takes six bytes or twelve.
    properties = complete.get("clientProperties")
    header = dumps_ascii(properties) if properties else ""
    metadata = complete.get("metadata")
    sizes = (
        ("the job", len(canonical), JOB_MAX_BYTES),
        ("metadata", len(dumps_compact(metadata)) if metadata else 0, METADATA_MAX_BYTES),
        ("clientProperties", len(header), CLIENT_PROPERTIES_MAX_BYTES),
    )
    for name, size, most in sizes:
        if size > most:
            yield f"{name}: is {size} bytes as compact JSON; the limit is {most}"


def _job(complete: JobDocument, canonical: bytes, *, warnings: tuple[str, ...]) -> Job:
    return Job(
        job_id=complete["jobId"],
        account_id=complete["accountId"],
        consumer_id=complete["consumerId"],
        profile=cast("JsonObject", complete["profile"]),
        conversation=cast("JsonObject", complete["conversation"]),
        engagement=_engagement(complete.get("engagement")),
        client_properties=cast("JsonObject | None", complete.get("clientProperties")),
        item_metadata=cast("JsonObject", complete.get("itemMetadata", {})),
        on_open_conversation=complete["onOpenConversation"],
        not_before=complete.get("notBefore"),
        expires_at=complete.get("expiresAt"),
        priority=complete["priority"],
        submission_id=complete.get("submissionId"),
        metadata=complete.get("metadata"),
        digest=sha256(canonical).hexdigest(),
        content=canonical,
        warnings=warnings,
    )


def _engagement(asked: EngagementFields | None) -> Engagement | None:
    if asked is None:
        return None
    body = {name: value for name, value in asked.items() if name not in {"visitorId", "sessionId"}}
    return Engagement(
        visitor_id=asked.get("visitorId"), session_id=asked.get("sessionId"), body=body
    )


def _invalid(faults: Sequence[str]) -> InvalidJob:
    return InvalidJob("invalid_job", " | ".join(faults))


_JOB_ID: Final = TypeAdapter[str](JobId, config=STRICT)
