"""SEND and CLOSE answer as LivePerson's documentation prints it."""

import uuid
from typing import Any

import pytest

from tests.simulator_client import Client, documented
from tests.simulator_process import SimulatorProcess


def message(conversation_id: str, text: str = "Hello world!") -> dict[str, Any]:
    item: dict[str, Any] = documented("req_31_send_text")
    item["body"].update(conversationId=conversation_id, dialogId=conversation_id)
    item["body"]["event"]["message"] = text
    return item


def close(conversation_id: str) -> dict[str, Any]:
    item: dict[str, Any] = documented("req_32_close")
    item["body"]["conversationId"] = conversation_id
    return item


def test_messages_are_numbered_and_kept(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """The documented answer; the first sequence is 0."""
    item = message(client.open(consumer))
    answers = [client.send(client.tokens(consumer), item) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == documented("resp_20_send_ok")
    assert answers[1].json()["body"] == {"sequence": 1}
    assert simulator.conversations(consumer=consumer)[0]["messages"] == [item["body"]["event"]] * 2


def test_the_conversation_id_may_be_left_out(client: Client, consumer: str) -> None:
    """The dialog's id is the conversation's; if both are given they must agree."""
    alone = message(client.open(consumer))
    del alone["body"]["conversationId"]
    torn = message(alone["body"]["dialogId"])
    torn["body"]["conversationId"] = str(uuid.uuid4())
    headers = client.tokens(consumer)

    assert client.send(headers, alone).status_code == 200
    assert client.send(headers, torn).status_code == 400


def test_closing_ends_a_conversation(client: Client, consumer: str) -> None:
    """The documented answers; after that nothing more is taken and another one can be opened."""
    conversation_id = client.open(consumer)
    headers = client.tokens(consumer)
    closed = client.send(headers, close(conversation_id))
    late = client.send(headers, message(conversation_id))
    refused = documented("resp_21_send_closed")
    refused["reqId"] = documented("req_31_send_text")["id"]

    assert (closed.status_code, closed.json()) == (200, documented("resp_23_close_ok"))
    assert (late.status_code, late.json()) == (400, refused)
    assert client.send(headers, close(conversation_id)).json() == documented("resp_21_send_closed")
    assert client.open(consumer) != conversation_id


def test_closing_the_dialog_closes_too(client: Client, consumer: str) -> None:
    """The form that leaves room for a survey."""
    conversation_id = client.open(consumer)
    item = documented("req_33_close_dialog_pcs")
    item["body"]["conversationId"] = conversation_id
    item["body"]["conversationField"]["dialog"]["dialogId"] = conversation_id

    assert client.send(client.tokens(consumer), item).status_code == 200
    assert client.open(consumer) != conversation_id


def test_a_request_has_5000_characters_at_most(client: Client, consumer: str) -> None:
    """The documented refusal, however well-formed the message."""
    answer = client.send(client.tokens(consumer), message(client.open(consumer), "x" * 5000))

    assert (answer.status_code, answer.json()) == (400, documented("resp_22_send_too_large"))


def test_client_properties_are_sent_again(client: Client, consumer: str) -> None:
    """A conversation that was created with them takes nothing without them."""
    properties = {"Client-Properties": '{"type":".ClientProperties","features":["AUTO_MESSAGES"]}'}
    headers = client.tokens(consumer)
    created = client.create(headers | properties)
    item = message(created.json()[1]["body"]["conversationId"])
    without, bad, again = (
        client.send(headers | more, item)
        for more in ({}, {"Client-Properties": "features"}, properties)
    )

    assert [answer.status_code for answer in (without, bad, again)] == [400, 400, 200]
    assert (without.json()["code"], without.json()["reqId"]) == ("BAD_REQUEST", item["id"])


def test_another_consumers_conversation(client: Client, consumer: str) -> None:
    """401, as the overview says."""
    headers = client.tokens(str(uuid.uuid4()))

    assert client.send(headers, message(client.open(consumer))).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "resp"},
        {"id": ""},
        {"type": "ms.Publish"},
        {"body": {}},
        {"body": {"dialogId": "x", "event": {"type": "ContentEvent"}}},
        {"body": {"dialogId": "x", "event": {"type": "Other"}}},
    ],
)
def test_a_wrong_item_is_400(client: Client, consumer: str, changes: dict[str, Any]) -> None:
    """SEND is as exact as CONVERSATION."""
    item = {**message(client.open(consumer)), **changes}

    assert client.send(client.tokens(consumer), item).status_code == 400


def test_send_wants_an_object(client: Client, consumer: str) -> None:
    """Unlike CONVERSATION it takes no array."""
    items = [message(client.open(consumer))]

    assert client.send(client.tokens(consumer), items).status_code == 400


def test_other_documented_requests(client: Client, consumer: str) -> None:
    """Structured content, a profile, an opinion of what is closed; an id may be a number."""
    conversation_id = client.open(consumer)
    headers = client.tokens(consumer)
    rich = message(conversation_id)
    rich["body"]["event"] = {"type": "RichContentEvent", "content": {"type": "vertical"}}
    rich["metadata"] = [{"type": "ExternalId", "id": "1"}]
    profile = {"id": 7, "type": "userprofile.SetUserProfile", "body": {"firstName": "Ann"}}
    opinion = close(conversation_id)
    opinion["body"]["conversationField"] = {"field": "CSATRate", "csatRate": 5, "status": "FILLED"}
    answers = [client.send(headers, item) for item in (rich, profile, close(conversation_id))]
    answers.append(client.send(headers, opinion))

    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].json()["body"] == {"sequence": 0}
    assert answers[1].json()["reqId"] == 7
