"""The body of `cm.ConsumerRequestConversation`.

Sources: the older and the newer version of LivePerson's CONVERSATION page; `CUSTOM` is only in the
older one, and no page says that it is refused. Context types beside `SharkContext`: an older page
(`SMSContext`) and LivePerson's node-agent-sdk (`ProactiveContext`, there in agents' requests).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Required

from pydantic import Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

from tasks.messages.fields.kinds import OPEN, Identifier, JsonObject, NumericId, SkillId, about

CHANNEL_TYPE: Final = "MESSAGING"
SHARK_CONTEXT: Final = "SharkContext"
KNOWN_CONTEXTS: Final = (SHARK_CONTEXT, "SMSContext", "ProactiveContext")


class CampaignInfo(TypedDict):
    """The campaign and the engagement that route the conversation: both, or neither."""

    campaignId: NumericId
    engagementId: NumericId


class Context(TypedDict, total=False):
    """What every known type of context may hold."""

    lang: Annotated[
        str, about("Language tag; the engagement must offer it.", examples=["en-US"], min_length=1)
    ]
    features: list[str]
    clientProperties: JsonObject


class SharkContext(Context, total=False):
    """Where a conversation comes from, with what the Monitoring API answered."""

    type: Annotated[
        Literal["SharkContext"], about("Filled in where there is a visitorId or a sessionId.")
    ]
    visitorId: Identifier
    sessionId: Identifier
    interactionContextId: Annotated[NumericId, about("The Monitoring API's `contextId`.")]


class SMSContext(Context, total=False):
    """A conversation by text message."""

    type: Required[Literal["SMSContext"]]


class ProactiveContext(Context, total=False):
    """A conversation that answers a proactive message."""

    type: Required[Literal["ProactiveContext"]]
    originConversationId: Identifier


@with_config(OPEN)
class OtherContext(TypedDict):
    """A type of context that is not documented: passed through unchanged."""

    type: Annotated[
        str, Field(min_length=1, json_schema_extra={"not": {"enum": list(KNOWN_CONTEXTS)}})
    ]


def _context_type(value: Any) -> str:
    kind = value.get("type", "SharkContext") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind in KNOWN_CONTEXTS:
        return kind if isinstance(kind, str) else "SharkContext"
    return "other"


ConversationContext = Annotated[
    Annotated[SharkContext, Tag("SharkContext")]
    | Annotated[SMSContext, Tag("SMSContext")]
    | Annotated[ProactiveContext, Tag("ProactiveContext")]
    | Annotated[OtherContext, Tag("other")],
    Discriminator(_context_type),
]


class Conversation(TypedDict, total=False):
    """Body of `cm.ConsumerRequestConversation`; LivePerson recommends campaigns over skills."""

    brandId: Annotated[Identifier, about("Filled in; if given, it must be the account's id.")]
    channelType: Annotated[Literal["MESSAGING"], about("Filled in: always MESSAGING.")]
    ttrDefName: Annotated[
        Literal["NORMAL", "URGENT", "PRIORITIZED", "CUSTOM"] | None,
        about("Urgency. CUSTOM is only in LivePerson's older documentation."),
    ]
    skillId: Annotated[
        SkillId,
        about('1 to 10 digits, or "-1" for all skills.'),
    ]
    campaignInfo: CampaignInfo
    conversationContext: ConversationContext
