"""CONVERSATION: opens a conversation for a consumer who has none open.

Sources: CONVERSATION page of the Connector API; Connector guide, "Conversation already exists".
"""

from simulator import answers
from simulator.authentication import authenticate
from simulator.batch import Batch, read_batch
from simulator.calls import Answer, Call, json_answer
from simulator.reading import (
    CLIENT_PROPERTIES,
    demand_client_properties,
    demand_version,
    read_body,
)
from simulator.state import Account, Consumer, State

FAILED = "Consumer request conversation failed"


def create(state: State, call: Call) -> Answer:
    """Answer a batch: 200 with the new conversation's id, or 400 in one of its two shapes.

    What cannot be read is refused as a whole, with an error object. Otherwise each item has its
    own answer, and the profile takes effect even if the conversation is refused.
    """
    demand_version(call)
    account, consumer = authenticate(state, call)
    lenient = state.settings.lenient
    demand_client_properties(call, lenient=lenient)
    batch = read_batch(read_body(call), account.id, lenient=lenient)
    if batch.profile_problem:
        refused = answers.item(answers.BAD_REQUEST, batch.profile_id, msg=batch.profile_problem)
        return json_answer(400, [refused, _refused(batch, f"{FAILED}: the profile was refused")])
    consumer.profile_request = state.kept(call.body)
    profile_set = answers.item(answers.OK, batch.profile_id, msg=answers.PROFILE_SET)
    if batch.conversation_problem:
        reason = f"{FAILED}: {batch.conversation_problem}"
        return json_answer(400, [profile_set, _refused(batch, reason)])
    if consumer.open_conversation:
        reason = answers.already_open(consumer.lp_consumer_id)
        return json_answer(400, [profile_set, _refused(batch, reason)])
    return json_answer(200, [profile_set, _open(state, call, account, consumer, batch=batch)])


def _refused(batch: Batch, reason: str) -> answers.Item:
    return answers.item(answers.BAD_REQUEST, batch.conversation_id, msg=reason)


def _open(
    state: State, call: Call, account: Account, consumer: Consumer, *, batch: Batch
) -> answers.Item:
    conversation = account.open(
        consumer,
        at=call.at,
        request=state.kept(call.body),
        client_properties=call.headers.get(CLIENT_PROPERTIES),
    )
    if state.close_at_once:
        account.close(conversation, at=call.at)
    return answers.item(answers.OK, batch.conversation_id, conversationId=conversation.id)
