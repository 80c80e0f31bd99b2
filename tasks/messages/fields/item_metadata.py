"""The `metadata` of an item: what a caller adds to a request beside its body.

Sources: LivePerson's schemas infra/req.json and infra/metadata/*.json, which define these four
kinds, without additional fields. Other kinds are accepted, since LivePerson says that there may be
more ("forward compatibility", Monitoring API).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Required

from pydantic import Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

from tasks.messages.fields.kinds import OPEN, Integer

_KINDS: Final = ("ExternalId", "ActionReason", "BotResponse", "IBMWatsonInfo")

Text64 = Annotated[str, Field(max_length=64)]


class ExternalId(TypedDict):
    """The request's id in the caller's own system."""

    type: Literal["ExternalId"]
    id: Text64


class ActionReason(TypedDict, total=False):
    """Why a bot hands the conversation over."""

    type: Required[Literal["ActionReason"]]
    reasonId: Text64
    reason: Text64


class Intent(TypedDict, total=False):
    """What a bot made of the consumer's words."""

    id: Required[Text64]
    name: Text64
    confidence: Required[Annotated[float, Field(ge=0, le=1)]]


class BotResponse(TypedDict, total=False):
    """What the provider of a bot said."""

    type: Required[Literal["BotResponse"]]
    externalConversationId: Text64
    businessCases: list[Text64]
    intents: list[Intent]


class Entity(TypedDict, total=False):
    """What Watson found in the consumer's words."""

    entity: str
    location: list[Integer]
    value: str


class WatsonInfo(TypedDict, total=False):
    """What IBM Watson said."""

    type: Required[Literal["IBMWatsonInfo"]]
    branch_exited: bool
    branch_exited_reason: Text64
    capability: Text64
    nodes_visited: list[Text64]
    referred_capability: Text64
    referred_nodes: list[Text64]
    referred_visitor_message_sequences: Required[list[Integer]]
    entities: list[Entity]


@with_config(OPEN)
class OtherMetadata(TypedDict):
    """A kind that is not documented: passed through unchanged."""

    type: Annotated[str, Field(min_length=1, json_schema_extra={"not": {"enum": list(_KINDS)}})]


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind in _KINDS else "other"


Metadata = list[
    Annotated[
        Annotated[ExternalId, Tag("ExternalId")]
        | Annotated[ActionReason, Tag("ActionReason")]
        | Annotated[BotResponse, Tag("BotResponse")]
        | Annotated[WatsonInfo, Tag("IBMWatsonInfo")]
        | Annotated[OtherMetadata, Tag("other")],
        Discriminator(_kind),
    ]
]


class ItemMetadata(TypedDict, total=False):
    """The `metadata` of the two items that are sent."""

    profile: Metadata
    conversation: Metadata
