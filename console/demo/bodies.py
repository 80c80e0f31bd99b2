"""What the demo's jobs hold beside their ids: every documented kind of conversation in turn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

Document = dict[str, Any]

CUSTOMER: Final[Document] = {
    "type": "ctmrinfo",
    "info": {
        "ctype": "vip",
        "cstatus": "active",
        "balance": -400.99,
        "currency": "USD",
        "customerId": "138766AC",
        "socialId": "11256324780",
        "imei": "3543546543545688",
        "userName": "user000",
        "companySize": 500,
        "companyBranch": "north",
        "accountName": "bank corp",
        "role": "broker",
        "lastPaymentDate": {"day": 15, "month": 10, "year": 2025},
        "registrationDate": {"day": 23, "month": 5, "year": 2020},
        "loginStatus": 1,
    },
}
PERSON: Final[Document] = {
    "type": "personal",
    "personal": {
        "firstname": "Zoë",
        "lastname": "Müller",
        "age": {"age": 34, "year": 1991, "month": 4, "day": 15},
        "contacts": [
            {"email": "zoe@example.com", "phone": "+1 202 555 0143", "phoneType": "MOBILE"},
            {"phone": "+1 202 555 0100", "phoneType": "HOME", "address": {"country": "US"}},
        ],
        "gender": "FEMALE",
        "company": "Example",
        "language": "en-US",
    },
    "auth": {"amr": ["pwd", "otp"], "iss": "https://id.example.com"},
}
CAMPAIGN: Final[Document] = {"campaignId": "99999", "engagementId": "888888"}
SHARK: Final[Document] = {
    "type": "SharkContext",
    "visitorId": "A3ZTY3Zjk1MDExZTczYTU4",
    "sessionId": "ys2wSqaSRSOJGki7VhEDKQ",
    "interactionContextId": "2",
    "lang": "en-US",
}
CLIENT: Final[Document] = {
    "type": ".ClientProperties",
    "appId": "shop",
    "ipAddress": "192.0.2.10",
    "deviceFamily": "DESKTOP",
    "os": "LINUX",
    "timeZone": "Europe/Zürich",
    "features": ["AUTO_MESSAGES", "RICH_CONTENT"],
}

KINDS: Final[tuple[Document, ...]] = (
    {},
    {"profile": {"firstName": "John", "lastName": "Doe", "description": "from the shop"}},
    {"profile": {"authenticatedData": {"lp_sdes": [CUSTOMER]}}},
    {"profile": {"authenticatedData": {"lp_sdes": [PERSON]}}},
    {"profile": {"authenticatedData": {"lp_sdes": [CUSTOMER, PERSON]}, "role": "consumer"}},
    {"profile": {"privateData": {"mobileNum": "+12025550143", "mail": "zoe@example.com"}}},
    {"conversation": {"skillId": "1251428632"}},
    # A number where LivePerson's documentation has a string.
    {"conversation": {"skillId": 1251428632, "ttrDefName": "URGENT"}},
    {"conversation": {"skillId": "-1", "ttrDefName": None}},
    {"conversation": {"campaignInfo": CAMPAIGN, "conversationContext": SHARK}},
    {"conversation": {"conversationContext": {"type": "SMSContext", "lang": "en-US"}}},
    {"conversation": {"conversationContext": {"type": "CustomContext", "anything": [1, 2]}}},
    {"clientProperties": CLIENT},
    {"metadata": {"orderId": 4711, "tags": ["a", "b"], "note": "back untouched: ✓"}},
    {"onOpenConversation": "reuse", "priority": 9},
)


def plain_bodies() -> Iterator[Document]:
    """Yield one kind after the other, for ever."""
    return cycle(KINDS)


def engagement(consumer_id: str) -> Document:
    """Have the Monitoring API asked for campaign and context of a consumer."""
    return {
        "engagement": {
            "identities": [{"iss": "https://id.example.com", "acr": "loa1", "sub": consumer_id}],
            "entryPoints": ["https://shop.example.com/offer", "lang://English"],
            "engagementAttributes": [PERSON],
        }
    }
