"""SEND: a message into a conversation, its close, what the consumer thinks of it, or a profile.

Sources: SEND page of the Connector API; its examples page (`Client-Properties` on every request);
Connector guide, "Send a message", "Close conversation" and "Resume a closed conversation".
"""

from typing import Any

from simulator import answers, documents
from simulator.authentication import authenticate
from simulator.batch import PROFILE
from simulator.calls import Answer, Call, Refused, json_answer
from simulator.reading import (
    CLIENT_PROPERTIES,
    demand,
    demand_client_properties,
    demand_version,
    read_body,
)
from simulator.state import Account, Conversation, State

MAX_REQUEST = 5000
"""Characters of JSON."""
PUBLISH = "ms.PublishEvent"
UPDATE = "cm.UpdateConversationField"
SATISFACTION = "CSATRate"
_DOCUMENTS = {
    PUBLISH: documents.PUBLISH_EVENT,
    UPDATE: documents.UPDATE_CONVERSATION_FIELD,
    PROFILE: documents.PROFILE,
}


def send(state: State, call: Call) -> Answer:
    """Answer one request item, an object and not an array."""
    demand_version(call)
    account, consumer = authenticate(state, call)
    lenient = state.settings.lenient
    demand_client_properties(call, lenient=lenient)
    item = read_body(call)
    demand(documents.ITEM, item, lenient=lenient)
    if len(call.body.decode()) > MAX_REQUEST or item["type"] not in _DOCUMENTS:
        return _refused(item, answers.PLAIN_BAD_REQUEST)
    if wrong := documents.problem(_DOCUMENTS[item["type"]], item["body"], lenient=lenient):
        return _refused(item, f"{answers.PLAIN_BAD_REQUEST}, {wrong}")
    if item["type"] == PROFILE:
        return json_answer(200, answers.item(answers.OK, item["id"], msg=answers.PROFILE_SET))
    conversation = _find(account, item["body"])
    if conversation is None:
        return _refused(item, answers.PLAIN_BAD_REQUEST)
    if conversation.consumer is not consumer:
        raise Refused(answers.NOT_YOUR_CONVERSATION)
    is_opinion = item["body"].get("conversationField", {}).get("field") == SATISFACTION
    if conversation.closed_at is not None and not is_opinion:
        return _refused(item, answers.CONVERSATION_IS_CLOSED)
    if conversation.client_properties is not None and CLIENT_PROPERTIES not in call.headers:
        return _refused(item, f"{answers.PLAIN_BAD_REQUEST}, {CLIENT_PROPERTIES} is missing")
    if is_opinion:
        return json_answer(200, answers.item(answers.OK, item["id"], msg=answers.FIELD_UPDATED))
    if item["type"] == UPDATE:
        account.close(conversation, at=call.at)
        return json_answer(
            200, answers.item(answers.OK, item["id"], msg=answers.CONVERSATION_RESOLVED)
        )
    sequence = conversation.publish(item["body"]["event"], keep=state.settings.keep_bodies)
    return json_answer(200, answers.item(answers.OK, item["id"], sequence=sequence))


def _find(account: Account, body: dict[str, Any]) -> Conversation | None:
    """Find the conversation; its main dialog has the same id, so all ids given must agree."""
    dialog = body.get("conversationField", {}).get("dialog", {})
    ids = {part["dialogId"] for part in (body, dialog) if "dialogId" in part}
    if "conversationId" in body:
        ids.add(body["conversationId"])
    return account.conversations.get(ids.pop()) if len(ids) == 1 else None


def _refused(item: dict[str, Any], reason: str) -> Answer:
    return json_answer(400, answers.item(answers.BAD_REQUEST, item["id"], msg=reason))
