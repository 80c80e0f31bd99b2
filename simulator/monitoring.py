"""The Monitoring API's Engagement call: which campaign a visitor gets, or which conversation.

Source: Monitoring API, Engagement (with its internal codes).
"""

import time
from typing import Any

from simulator import documents
from simulator.calls import JSON_TYPE, Answer, Call, Refused, json_answer, read_json
from simulator.settings import Campaign
from simulator.state import Account, Conversation, State

VERSIONS = ("1.0", "1.1")
CONTEXT_ID = "1"


def _error(status: int, message: str, *, internal_code: int) -> Answer:
    """Build an error body; its time is in milliseconds."""
    return json_answer(
        status,
        {"time": int(time.time() * 1000), "message": message, "internalCode": internal_code},
    )


def loading(state: State, call: Call) -> Answer:
    """Say that the account is being loaded, and name the visitor to come back as."""
    visitor_id = call.query.get("vid") or state.visitors.add(call.account_id)
    message = f"Loading account: {call.account_id}, vid: {visitor_id}"
    if call.query.get("v") == "1.0":
        return _error(500, message, internal_code=20)
    return _error(202, message, internal_code=38)


def _refused(status: int, message: str, *, internal_code: int) -> Refused:
    return Refused(_error(status, message, internal_code=internal_code))


def engage(state: State, call: Call) -> Answer:
    """Answer 201 for a new session, 200 for one that goes on."""
    if call.query.get("v") not in VERSIONS:
        raise _refused(400, "Bad version", internal_code=33)
    account = state.find(call.account_id)
    if account is None or not _is_installed(account, call.path["app_id"]):
        raise _refused(404, "Invalid appInstallationId", internal_code=18)
    body = _read_body(call, lenient=state.settings.lenient)
    status, visitor_id, session_id = _find_session(state, call)
    answer: dict[str, Any] = {
        "sessionId": session_id,
        "visitorId": visitor_id,
        "pageId": str(state.rng.randrange(10**9, 10**10)),
    }
    campaign = state.campaign(account.id)
    if campaign:
        answer["engagementDetails"] = [_details(campaign, _open_conversation(account, body))]
    return json_answer(status, answer)


def _is_installed(account: Account, app_id: str) -> bool:
    return account.credentials is None or account.credentials.client_id == app_id


def _read_body(call: Call, *, lenient: bool) -> dict[str, Any]:
    try:
        body: dict[str, Any] = read_json(call.body or b"{}")
    except ValueError:
        raise _refused(400, "Invalid data", internal_code=5) from None
    if (call.body and call.media_type != JSON_TYPE) or documents.problem(
        documents.ENGAGEMENT_REQUEST, body, lenient=lenient
    ):
        raise _refused(400, "Invalid data", internal_code=5)
    return body


def _find_session(state: State, call: Call) -> tuple[int, str, str]:
    """Find or begin the visitor and the session: HTTP status, visitor id, session id."""
    visitors = state.visitors
    visitor_id, session_id = call.query.get("vid"), call.query.get("sid")
    if not visitor_id:
        visitor_id = visitors.add(call.account_id)
    elif not visitors.knows(call.account_id, visitor_id):
        raise _refused(404, "Invalid visitorId", internal_code=37)
    if not session_id:
        return 201, visitor_id, visitors.begin_session(call.account_id, visitor_id)
    if visitors.session(call.account_id, visitor_id) != session_id:
        raise _refused(404, "Invalid sessionId", internal_code=39)
    return 200, visitor_id, session_id


def _open_conversation(account: Account, body: dict[str, Any]) -> Conversation | None:
    names = [body.get("consumerId"), *(one.get("sub") for one in body.get("identities", ()))]
    for name in names:
        consumer = account.consumers.get(name) if name else None
        if consumer and consumer.open_conversation:
            return consumer.open_conversation
    return None


def _details(campaign: Campaign, conversation: Conversation | None) -> dict[str, Any]:
    details: dict[str, Any] = {
        "campaignId": campaign.campaign_id,
        "engagementId": campaign.engagement_id,
        "engagementRevision": campaign.revision,
    }
    if conversation:
        details["conversationId"] = conversation.id
    else:
        details["contextId"] = CONTEXT_ID
    details["connectorId"] = campaign.connector_id
    details["status"] = "conversation" if conversation else "expose"
    return details
