"""Reads the body of CONVERSATION: a profile and a conversation, in this order.

Sources: CONVERSATION page (the order of the array counts, not the ids) and examples page (both
items can have the same id); infra/req.json (the envelope). A third item, a message, was on older
pages and is on none now: it is refused.
"""

from dataclasses import dataclass
from typing import Any

from simulator import answers, documents
from simulator.calls import Refused
from simulator.reading import demand

PROFILE = "userprofile.SetUserProfile"
CONVERSATION = "cm.ConsumerRequestConversation"
ORDER = (PROFILE, CONVERSATION)


@dataclass(frozen=True, slots=True)
class Batch:
    """A readable batch; a problem is a sentence about what is wrong in an item."""

    profile_id: answers.ReqId
    profile_problem: str | None
    conversation_id: answers.ReqId
    conversation_problem: str | None


def read_batch(items: Any, account_id: str, *, lenient: bool) -> Batch:
    """Read a batch; one that cannot be read is refused as a whole."""
    _demand_envelopes(items, lenient=lenient)
    profile, conversation = items
    brand_id = conversation["body"].get("brandId")
    if brand_id is None or brand_id == "":
        raise Refused(answers.BRAND_ID_MISSING)
    if brand_id != account_id:
        raise Refused(answers.BRAND_ID_WRONG)
    return Batch(
        profile["id"],
        documents.problem(documents.PROFILE, profile["body"], lenient=lenient),
        conversation["id"],
        documents.problem(documents.CONVERSATION_REQUEST, conversation["body"], lenient=lenient),
    )


def _demand_envelopes(items: Any, *, lenient: bool) -> None:
    if not isinstance(items, list) or len(items) != len(ORDER):
        raise Refused(answers.bad_request(f"The body must be an array of {len(ORDER)} items"))
    for item, expected in zip(items, ORDER, strict=True):
        demand(documents.ITEM, item, lenient=lenient)
        if item["type"] != expected:
            raise Refused(
                answers.bad_request(f"The items must be, in this order: {', '.join(ORDER)}")
            )
