"""Messaging Interactions: the conversations of one consumer.

Source: Messaging Interactions API, consumer search. It takes a user's Bearer token and not the
connector's AppJWT; the simulator gives no such tokens and takes any that is not an AppJWT. Error
bodies are undocumented.
"""

from typing import Any

from simulator import answers, documents
from simulator.calls import Answer, Call, Refused, json_answer
from simulator.reading import demand, read_body
from simulator.state import Account, Conversation, State
from simulator.tokens import read_app_jwt

MAX_SOURCE = 20
DEFAULT_LIMIT = 50
HIGHEST_LIMIT = 100
_MILLISECONDS = 1000


def search(state: State, call: Call) -> Answer:
    """Answer with one page of a consumer's conversations, the newest first."""
    account = _authenticate_user(state, call)
    offset, limit = _read_page(call)
    body = read_body(call)
    demand(documents.HISTORY_SEARCH, body, lenient=state.settings.lenient)
    found = _find(account, body)
    return json_answer(
        200,
        {
            "_metadata": {"count": len(found)},
            "conversationHistoryRecords": [
                {"info": _info(account.id, one)} for one in found[offset : offset + limit]
            ],
        },
    )


def _authenticate_user(state: State, call: Call) -> Account:
    account = state.find(call.account_id)
    scheme, _, token = call.headers.get("Authorization", "").partition(" ")
    if account is None or scheme != "Bearer" or not token or read_app_jwt(token):
        raise Refused(
            answers.error(401, "Unauthorized", "A user's Bearer token is needed", error_code=40100)
        )
    return account


def _read_page(call: Call) -> tuple[int, int]:
    if not 0 < len(call.query.get("source", "")) <= MAX_SOURCE:
        raise Refused(answers.bad_request(f"source must have 1 to {MAX_SOURCE} characters"))
    try:
        offset = int(call.query.get("offset", 0))
        limit = int(call.query.get("limit", DEFAULT_LIMIT))
    except ValueError:
        offset = limit = -1
    if offset < 0 or not 0 < limit <= HIGHEST_LIMIT:
        raise Refused(answers.bad_request(f"offset must be at least 0, limit 1 to {HIGHEST_LIMIT}"))
    return offset, limit


def _find(account: Account, body: dict[str, Any]) -> list[Conversation]:
    wanted = body.get("status", ["OPEN", "CLOSE"])
    return [
        conversation
        for conversation in reversed(account.conversations.values())
        if conversation.consumer.lp_consumer_id == body["consumer"]
        and _status(conversation) in wanted
    ]


def _status(conversation: Conversation) -> str:
    return "OPEN" if conversation.closed_at is None else "CLOSE"


def _info(account_id: str, conversation: Conversation) -> dict[str, Any]:
    info: dict[str, Any] = {
        "conversationId": conversation.id,
        "brandId": account_id,
        "status": _status(conversation),
        "startTimeL": int(conversation.created_at * _MILLISECONDS),
    }
    if conversation.closed_at is not None:
        info["endTimeL"] = int(conversation.closed_at * _MILLISECONDS)
    return info
