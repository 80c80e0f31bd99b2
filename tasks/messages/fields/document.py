"""All fields of a job's JSON document."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Required

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from tasks.messages.fields.client_properties import ClientProperties
from tasks.messages.fields.conversation import Conversation
from tasks.messages.fields.engagement import Engagement
from tasks.messages.fields.item_metadata import ItemMetadata
from tasks.messages.fields.kinds import (
    STRICT,
    AccountId,
    Identifier,
    JobId,
    JsonObject,
    Moment,
    Priority,
    about,
)
from tasks.messages.fields.profile import Profile

# The objects of a job that LivePerson defines, and so may extend; and at which depth of a path
# their own fields begin.
LIVEPERSONS: Final = {
    "profile": 1,
    "conversation": 1,
    "engagement": 1,
    "clientProperties": 1,
    "itemMetadata": 2,
}


@with_config(STRICT)
class JobDocument(TypedDict, total=False):
    """One LivePerson conversation to open."""

    jobId: Required[
        Annotated[
            JobId,
            about(
                "The producer's idempotency key: the same id with the same content is processed "
                "once; with other content it is a conflict. No control characters; at most 255 "
                "bytes.",
                examples=["order-4711"],
            ),
        ]
    ]
    accountId: Annotated[
        AccountId,
        about(
            "The LivePerson account; optional if exactly one is configured.",
            examples=["12345678"],
        ),
    ]
    consumerId: Required[
        Annotated[
            Identifier,
            about(
                "LivePerson's ext_consumer_id: stable per person, unguessable, never reused for "
                "anyone else.",
                min_length=1,
                max_length=512,
                examples=["c-9f2d7c1e-52a4-4f0e-8d55-6f2b1f1f7a10"],
            ),
        ]
    ]
    profile: Profile
    conversation: Conversation
    engagement: Engagement
    clientProperties: ClientProperties
    itemMetadata: Annotated[
        ItemMetadata,
        about(
            "LivePerson's `metadata` of the two items; your own is `metadata`.",
            examples=[{"conversation": [{"type": "ExternalId", "id": "4711"}]}],
        ),
    ]
    onOpenConversation: Annotated[
        Literal["fail", "reuse"],
        about(
            "What to do if the consumer already has an open conversation: fail, or return its id.",
            json_schema_extra={"default": "fail"},
        ),
    ]
    notBefore: Annotated[
        Moment, about("Never sent before this moment.", examples=["2026-01-31T09:00:00Z"])
    ]
    expiresAt: Annotated[
        Moment,
        about(
            "Never sent after this moment: the job fails as expired.",
            examples=["2026-01-31T10:00:00+01:00"],
        ),
    ]
    priority: Annotated[
        Priority,
        about("9 goes first, if the broker supports priorities.", json_schema_extra={"default": 0}),
    ]
    submissionId: Annotated[
        Identifier,
        about(
            "A label that jobs share; comes back in the result, and is no part of the content "
            "that is compared.",
            min_length=1,
            max_length=128,
            examples=["spring-campaign"],
        ),
    ]
    metadata: Annotated[
        JsonObject, about("Returned unchanged in the result; at most 4 KiB as compact JSON.")
    ]


JOB_DOCUMENT: Final = TypeAdapter(JobDocument)
