"""The Monitoring API's Engagement call: which campaign a visitor gets, or which conversation.

Sources: Monitoring API, Engagement (with its internal codes) and Overview (identities); best
practices for messaging (a customerId of the unauthenticated fails).
"""

import time
from typing import Any

from simulator import documents
from simulator.calls import JSON_TYPE, Answer, Call, Refused, json_answer, read_json
from simulator.settings import Campaign, ConsumerIdentity
from simulator.state import Account, Conversation, State

VERSIONS = ("1.0", "1.1")
CONTEXT_ID = "1"
UNAUTHENTICATED = "0"
AUTHENTICATED = "loa1"


def _error(status: int, message: str, *, internal_code: int) -> Answer:
    """Build an error body; its time is in milliseconds."""
    return json_answer(
        status,
        {"time": int(time.time() * 1000), "message": message, "internalCode": internal_code},
    )


def loading(state: State, call: Call) -> Answer:
    """Return "Loading account", with the visitor for the next call."""
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
    if account is None or not _is_installed(state, account, call.path["app_id"]):
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
        found = _open_conversation(account, body, kind=state.settings.consumer_identity)
        answer["engagementDetails"] = [_details(campaign, found)]
    return json_answer(status, answer)


def _is_installed(state: State, account: Account, app_id: str) -> bool:
    if account.credentials is None:
        return True
    return app_id == state.settings.monitoring_apps.get(account.id, account.credentials.client_id)


def _read_body(call: Call, *, lenient: bool) -> dict[str, Any]:
    try:
        body: dict[str, Any] = read_json(call.body or b"{}")
    except ValueError:
        raise _refused(400, "Invalid data", internal_code=5) from None
    if (
        (call.body and call.media_type != JSON_TYPE)
        or documents.problem(documents.ENGAGEMENT_REQUEST, body, lenient=lenient)
        or (_names_customer(body) and not _is_authenticated(body))
    ):
        raise _refused(400, "Invalid data", internal_code=5)
    return body


def _names_customer(body: dict[str, Any]) -> bool:
    return any(
        "customerId" in attribute.get("info", {})
        for attribute in body.get("engagementAttributes", ())
        if attribute["type"] == "ctmrinfo"
    )


def _is_authenticated(body: dict[str, Any]) -> bool:
    return any(one["acr"] == AUTHENTICATED for one in body.get("identities", ()))


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


def _open_conversation(
    account: Account, body: dict[str, Any], *, kind: ConsumerIdentity
) -> Conversation | None:
    """Return the consumer's open conversation; `consumerId` counts only without identities."""
    identities = body.get("identities", [])
    names = [one["sub"] for one in identities if _is_of_kind(one, account.id, kind)]
    for name in names if identities else [body.get("consumerId", "")]:
        consumer = account.consumers.get(name)
        if consumer and consumer.open_conversation:
            return consumer.open_conversation
    return None


def _is_of_kind(identity: dict[str, str], account_id: str, kind: ConsumerIdentity) -> bool:
    """Tell whether an identity is of the kind that the account's consumers have.

    The issuer of the unauthenticated is "the csds-domain/account-id", or what the page's own sample
    has; of the authenticated it is the brand's, which nobody told the simulator: any, or none.
    """
    if kind == "auth":
        return identity["acr"] == AUTHENTICATED
    issuer = identity.get("iss", "")
    is_liveperson = issuer.endswith(f"/{account_id}") or issuer == "LivePerson"
    return identity["acr"] == UNAUTHENTICATED and is_liveperson


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
