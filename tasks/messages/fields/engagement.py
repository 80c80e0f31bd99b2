"""The request to the Monitoring API, for a producer that does not name a campaign.

Source: LivePerson's Monitoring API page "Engagement" (query and body parameters).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

from tasks.messages.fields.client_properties import MonitoredClient
from tasks.messages.fields.kinds import OPEN, Identifier, about
from tasks.messages.fields.profile import CustomerAttribute, PersonalAttribute


class Identity(TypedDict, total=False):
    """One identity of the consumer."""

    iss: Annotated[
        str,
        about(
            "Who identified the consumer: the brand's URL; for the unauthenticated the Domain "
            "API's host and the account. Optional on LivePerson's page.",
            min_length=1,
        ),
    ]
    acr: Required[
        Annotated[Literal["0", "loa1"], about("0: unauthenticated; loa1: authenticated.")]
    ]
    sub: Required[
        Annotated[Identifier, about("The id itself: unguessable, never reused.", min_length=1)]
    ]


@with_config(OPEN)
class OtherAttribute(TypedDict):
    """Any other engagement attribute: passed through unchanged."""

    type: Annotated[
        str, Field(min_length=1, json_schema_extra={"not": {"enum": ["ctmrinfo", "personal"]}})
    ]


def _attribute_type(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind in {"ctmrinfo", "personal"} else "other"


EngagementAttribute = Annotated[
    Annotated[CustomerAttribute, Tag("ctmrinfo")]
    | Annotated[PersonalAttribute, Tag("personal")]
    | Annotated[OtherAttribute, Tag("other")],
    Discriminator(_attribute_type),
]


class Engagement(TypedDict, total=False):
    """Ask the Monitoring API for campaign, engagement and context before the conversation.

    `visitorId` and `sessionId` go into the query (`vid`, `sid`), everything else into the body.
    """

    visitorId: Annotated[
        Identifier, about("From an earlier answer; reuse it for the same visitor.", min_length=1)
    ]
    sessionId: Annotated[
        Identifier, about("From an earlier answer; reuse it for the same visit.", min_length=1)
    ]
    consumerId: Annotated[
        Identifier, about("Deprecated by LivePerson: use `identities`.", min_length=1)
    ]
    identities: Annotated[
        list[Identity], about("Default: the consumerId, as the account's settings say.")
    ]
    clientProperties: MonitoredClient
    entryPoints: Annotated[
        list[str],
        about(
            "Where the consumer entered.",
            examples=[["https://example.com/offer", "lang://English"]],
        ),
    ]
    engagementAttributes: Annotated[
        list[EngagementAttribute], about("Engagement attributes that campaigns may ask for.")
    ]
