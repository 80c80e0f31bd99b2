"""The JSON documents of the Connector API and of the Monitoring API, field by field.

They say what is documented and no more: every field is optional unless marked, unknown fields are
refused, and no type is converted, so a number where a string is documented is refused.

Sources: CONVERSATION, SEND and examples pages of the Connector API (one has an item's id as a
number); its post-conversation survey tutorial (campaign ids as numbers); schemas
clientPropertiesHeader.json, infra/req.json (`kind` is not required) and infra/metadata/*.json;
Monitoring API, Overview and Engagement; "Send consumer satisfaction (CSAT)" of the Messaging Window
API. `CUSTOM` was documented for ttrDefName until 2019.
"""

from typing import Annotated, Any, Literal, Required

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypedDict

from simulator.consumer_profile import CustomerSde, Integer, PersonalSde, Profile

_OCTET = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"

IPv4 = Annotated[str, Field(pattern=rf"^({_OCTET}\.){{3}}{_OCTET}$")]
Short = Annotated[str, Field(max_length=64)]
Language = Annotated[str, Field(min_length=1)]
ItemId = Annotated[str, Field(min_length=1, max_length=64)]
NumericId = ItemId | int


def _has_type(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value.get("type"), str) or not value["type"]:
        raise ValueError("type must be a string of at least 1 character")
    return value


class ExternalId(TypedDict):
    """An id of the caller's own system."""

    type: Literal["ExternalId"]
    id: Short


class ActionReason(TypedDict, total=False):
    """Why a bot hands over."""

    type: Required[Literal["ActionReason"]]
    reasonId: Short
    reason: Short


class Intent(TypedDict, total=False):
    """What a bot understood."""

    id: Required[Short]
    name: Short
    confidence: Required[Annotated[float, Field(ge=0, le=1)]]


class BotResponse(TypedDict, total=False):
    """What a bot said."""

    type: Required[Literal["BotResponse"]]
    externalConversationId: Short
    businessCases: list[Short]
    intents: list[Intent]


class WatsonEntity(TypedDict, total=False):
    """What Watson found."""

    entity: str
    location: list[Integer]
    value: str


class WatsonInfo(TypedDict, total=False):
    """What IBM Watson said."""

    type: Required[Literal["IBMWatsonInfo"]]
    branch_exited: bool
    branch_exited_reason: Short
    capability: Short
    nodes_visited: list[Short]
    referred_capability: Short
    referred_nodes: list[Short]
    referred_visitor_message_sequences: Required[list[Integer]]
    entities: list[WatsonEntity]


METADATA = frozenset({"ExternalId", "ActionReason", "BotResponse", "IBMWatsonInfo"})


def _metadata_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind in METADATA else "other"


class Item(TypedDict, total=False):
    """The envelope of every request item; metadata of a kind that is not documented passes."""

    kind: Literal["req"]
    id: Required[NumericId]
    type: Required[str]
    body: Required[dict[str, Any]]
    metadata: list[
        Annotated[
            Annotated[ExternalId, Tag("ExternalId")]
            | Annotated[ActionReason, Tag("ActionReason")]
            | Annotated[BotResponse, Tag("BotResponse")]
            | Annotated[WatsonInfo, Tag("IBMWatsonInfo")]
            | Annotated[dict[str, Any], AfterValidator(_has_type), Tag("other")],
            Discriminator(_metadata_kind),
        ]
    ]


# A public client sends numbers.
SkillId = (
    Annotated[str, Field(pattern=r"^(-1|[0-9]{1,10})$")] | Annotated[int, Field(ge=-1, lt=10**10)]
)


class CampaignInfo(TypedDict):
    """Where campaigns route to; half of it routes nowhere."""

    campaignId: NumericId
    engagementId: NumericId


class SharkContext(TypedDict, total=False):
    """The context that the Monitoring API gave; the ids are its alone."""

    type: Literal["SharkContext"]
    visitorId: str
    sessionId: str
    interactionContextId: NumericId
    lang: Language
    features: list[str]
    clientProperties: dict[str, Any]


class SMSContext(TypedDict, total=False):
    """The context of a text message."""

    type: Required[Literal["SMSContext"]]
    lang: Language
    features: list[str]
    clientProperties: dict[str, Any]


class ProactiveContext(TypedDict, total=False):
    """The context of an answer to a proactive message (node-agent-sdk, in agents' requests)."""

    type: Required[Literal["ProactiveContext"]]
    originConversationId: str
    lang: Language
    features: list[str]
    clientProperties: dict[str, Any]


KNOWN_CONTEXTS = frozenset({"SharkContext", "SMSContext", "ProactiveContext"})


def _context_kind(value: Any) -> str:
    kind = value.get("type", "SharkContext") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind in KNOWN_CONTEXTS else "other"


class ConversationRequest(TypedDict, total=False):
    """The body of `cm.ConsumerRequestConversation`; brandId is checked with the URL beside it.

    channelType is "mandatory" in the documentation's table and absent from its smallest sample.
    A conversationContext of a type that is not documented passes as it is.
    """

    brandId: Required[str]
    channelType: Literal["MESSAGING"]
    ttrDefName: Literal["NORMAL", "URGENT", "PRIORITIZED", "CUSTOM"] | None
    skillId: SkillId
    campaignInfo: CampaignInfo
    conversationContext: Annotated[
        Annotated[SharkContext, Tag("SharkContext")]
        | Annotated[SMSContext, Tag("SMSContext")]
        | Annotated[ProactiveContext, Tag("ProactiveContext")]
        | Annotated[dict[str, Any], AfterValidator(_has_type), Tag("other")],
        Discriminator(_context_kind),
    ]


class ContentEvent(TypedDict, total=False):
    """A message."""

    type: Required[Literal["ContentEvent"]]
    contentType: Required[str]
    message: Required[str | dict[str, Any]]


class RichContentEvent(TypedDict):
    """Structured content, whose own form is not looked into."""

    type: Literal["RichContentEvent"]
    content: dict[str, Any]


class ChatStateEvent(TypedDict):
    """What the consumer is doing."""

    type: Literal["ChatStateEvent"]
    chatState: Literal["ACTIVE", "INACTIVE", "GONE", "COMPOSING", "PAUSE"]


class AcceptStatusEvent(TypedDict):
    """Which messages arrived, were read, and so on."""

    type: Literal["AcceptStatusEvent"]
    status: Literal["ACCEPT", "READ", "ACCESS", "NACK", "ACTION"]
    sequenceList: list[int]


Event = Annotated[
    ContentEvent | RichContentEvent | ChatStateEvent | AcceptStatusEvent,
    Field(discriminator="type"),
]


class PublishEvent(TypedDict, total=False):
    """The body of `ms.PublishEvent`."""

    dialogId: Required[ItemId]
    conversationId: ItemId
    event: Required[Event]


class StateField(TypedDict):
    """Closes the conversation."""

    field: Literal["ConversationStateField"]
    conversationState: Literal["CLOSE"]


class ClosedDialog(TypedDict, total=False):
    """The dialog to close."""

    dialogId: Required[ItemId]
    state: Required[Literal["CLOSE"]]
    closedCause: str


class DialogChange(TypedDict):
    """Closes the main dialog, so that a survey can follow."""

    field: Literal["DialogChange"]
    type: Literal["UPDATE"]
    dialog: ClosedDialog


class SatisfactionField(TypedDict, total=False):
    """What the consumer thinks of the conversation, which may be closed by then."""

    field: Required[Literal["CSATRate"]]
    csatRate: Required[Annotated[int, Field(ge=1, le=5)]]
    csatResolutionConfirmation: bool
    status: Literal["FILLED", "PARTIALLY_FILLED", "SKIPPED"]


class UpdateConversationField(TypedDict):
    """The body of `cm.UpdateConversationField`."""

    conversationId: ItemId
    conversationField: Annotated[
        StateField | DialogChange | SatisfactionField, Field(discriminator="field")
    ]


class ClientProperties(TypedDict, total=False):
    """The header `Client-Properties`: its names as documented, its values as clients send them.

    Clients in use send types without a dot, systems of any name and IPv6 addresses.
    """

    type: Required[Annotated[str, Field(min_length=1, max_length=64)]]
    appId: Short
    appVersion: Annotated[str, Field(max_length=32)]
    ipAddress: Short
    deviceFamily: Short
    os: Short
    osVersion: Short
    osName: Short
    integration: Short
    integrationVersion: Short
    browser: Short
    browserVersion: Short
    timeZone: Short
    deviceManufacture: Short
    deviceModel: Short
    features: list[str]


class ConsumerRequest(TypedDict):
    """The body of IDP's call; no length is published for the id."""

    ext_consumer_id: Annotated[str, Field(min_length=1)]


class Identity(TypedDict, total=False):
    """A consumer, in the words of the Monitoring API: only `iss` is optional there.

    `sub` is the external id.
    """

    iss: Annotated[str, Field(min_length=1)]
    acr: Required[Literal["0", "loa1"]]
    sub: Required[Annotated[str, Field(min_length=1)]]


class MonitoredClient(TypedDict, total=False):
    """The client, in the words of the Monitoring API: not quite those of the header."""

    type: Short
    appId: Short
    appVersion: Annotated[str, Field(max_length=32)]
    ipAddress: IPv4
    deviceFamily: Literal["DESKTOP", "TABLET", "MOBILE"]
    os: Literal["WINDOWS", "MAC_OSX", "LINUX", "IOS", "ANDROID"]
    osName: Short
    osVersion: Short


def _attribute_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind in {"ctmrinfo", "personal"} else "other"


class EngagementRequest(TypedDict, total=False):
    """The body of the Monitoring API's Engagement call.

    Of its attributes the two that CONVERSATION takes are looked into; the others need a type.
    """

    consumerId: Annotated[str, Field(min_length=1)]
    identities: list[Identity]
    clientProperties: MonitoredClient
    entryPoints: list[str]
    engagementAttributes: list[
        Annotated[
            Annotated[CustomerSde, Tag("ctmrinfo")]
            | Annotated[PersonalSde, Tag("personal")]
            | Annotated[dict[str, Any], AfterValidator(_has_type), Tag("other")],
            Discriminator(_attribute_kind),
        ]
    ]


class HistorySearch(TypedDict, total=False):
    """The body of the Messaging Interactions consumer search."""

    consumer: Required[str]
    status: list[Literal["OPEN", "CLOSE"]]
    contentToRetrieve: list[str]


def problem(document: TypeAdapter[Any], value: Any, *, lenient: bool) -> str | None:
    """Say in one sentence what is wrong with `value`, or None; lenient passes unknown fields."""
    try:
        document.validate_python(value, strict=True, extra="ignore" if lenient else "forbid")
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return None


ITEM = TypeAdapter[Any](Item)
PROFILE = TypeAdapter[Any](Profile)
CONVERSATION_REQUEST = TypeAdapter[Any](ConversationRequest)
PUBLISH_EVENT = TypeAdapter[Any](PublishEvent)
UPDATE_CONVERSATION_FIELD = TypeAdapter[Any](UpdateConversationField)
CLIENT_PROPERTIES = TypeAdapter[Any](ClientProperties)
CONSUMER_REQUEST = TypeAdapter[Any](ConsumerRequest)
ENGAGEMENT_REQUEST = TypeAdapter[Any](EngagementRequest)
HISTORY_SEARCH = TypeAdapter[Any](HistorySearch)
