"""Reads the body of CONVERSATION: a profile, a conversation and, historically, a message.

Sources: CONVERSATION page (the order of the array counts, not the ids); infra/req.json (the
envelope); api-reference/sendapi_create.md (the third item, dropped from today's pages).
"""

from dataclasses import dataclass
from typing import Any

from simulator import answers, documents
from simulator.calls import Refused
from simulator.reading import demand

PROFILE = "userprofile.SetUserProfile"
CONVERSATION = "cm.ConsumerRequestConversation"
MESSAGE = "ms.PublishEvent"
ORDER = (PROFILE, CONVERSATION, MESSAGE)
FEWEST_ITEMS = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """A readable batch; a problem is what is wrong inside an item, in one sentence."""

    profile_id: str
    profile_problem: str | None
    conversation_id: str
    conversation_problem: str | None
    message: dict[str, Any] | None


def read_batch(items: Any, account_id: str, *, lenient: bool) -> Batch:
    """Read a batch; one that cannot be read is refused as a whole."""
    _demand_envelopes(items, lenient=lenient)
    profile, conversation = items[:FEWEST_ITEMS]
    message = items[FEWEST_ITEMS] if len(items) > FEWEST_ITEMS else None
    brand_id = conversation["body"].get("brandId")
    if brand_id is None or brand_id == "":
        raise Refused(answers.BRAND_ID_MISSING)
    if brand_id != account_id:
        raise Refused(answers.BRAND_ID_WRONG)
    if message:
        demand(documents.FIRST_MESSAGE, message["body"], lenient=lenient, place=f"{MESSAGE}: ")
    return Batch(
        profile["id"],
        documents.problem(documents.PROFILE, profile["body"], lenient=lenient),
        conversation["id"],
        documents.problem(documents.CONVERSATION_REQUEST, conversation["body"], lenient=lenient),
        message,
    )


def _demand_envelopes(items: Any, *, lenient: bool) -> None:
    if not isinstance(items, list) or not FEWEST_ITEMS <= len(items) <= len(ORDER):
        raise Refused(
            answers.bad_request(
                f"The body must be an array of {FEWEST_ITEMS} or {len(ORDER)} items"
            )
        )
    for item, expected in zip(items, ORDER, strict=False):
        demand(documents.ITEM, item, lenient=lenient)
        if item["type"] != expected:
            raise Refused(
                answers.bad_request(
                    f"The items must be, in this order: {', '.join(ORDER[: len(items)])}"
                )
            )
    if len({item["id"] for item in items}) < len(items):
        raise Refused(answers.bad_request("The ids of the items must differ"))
