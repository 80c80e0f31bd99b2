"""What goes wrong on purpose, and what has happened when it does."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.simulator_client import ACCOUNT, Client, batch
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until

READ_SECONDS = 0.3


def queue(simulator: SimulatorProcess, consumer: str, fault: str, times: int = 1) -> None:
    simulator.control("faults", {"consumer": consumer, "fault": fault, "times": times})


def counted(simulator: SimulatorProcess) -> dict[str, int]:
    calls: dict[str, int] = simulator.stats()["total"]["calls"]["conversation"]
    return calls


@pytest.mark.parametrize(
    ("fault", "created"),
    [("reset", 0), ("lost_answer", 1), ("withheld_answer", 1), ("cut_off", 1)],
)
def test_an_answer_that_does_not_come(
    simulator: SimulatorProcess, client: Client, consumer: str, fault: str, created: int
) -> None:
    """The caller sees an error; whether there is a conversation depends on the fault."""
    headers = client.tokens(consumer)
    queue(simulator, consumer, fault)
    with pytest.raises(requests.RequestException):
        client.create(headers, timeout=READ_SECONDS, stream=False).json()

    assert len(simulator.conversations(consumer=consumer)) == created
    assert simulator.stats()["total"]["faults"] == {fault: 1}
    status = "200" if fault == "cut_off" else "no_answer"
    assert counted(simulator) == {status: 1}
    wait_until(lambda: simulator.stats()["total"]["inFlight"] == 0, "the call has ended")
    assert client.create(headers).status_code == (400 if created else 200)


def test_a_slow_answer_outlasts_a_read_timeout(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """Bytes keep coming, so only a deadline for the whole answer ends it."""
    headers = client.tokens(consumer)
    queue(simulator, consumer, "slow_answer")
    began = time.monotonic()
    answer = client.create(headers, timeout=2, stream=True)
    received = [next(answer.iter_content(1)) for _ in range(3)]
    answer.close()

    assert b"".join(received) == b'[{"'
    assert time.monotonic() - began > 0.4


@pytest.mark.parametrize(("fault", "created"), [("server_error", 0), ("server_error_after", 1)])
def test_a_server_error(
    simulator: SimulatorProcess, client: Client, consumer: str, fault: str, created: int
) -> None:
    """5xx, and the answer does not tell whether there is a conversation."""
    headers = client.tokens(consumer)
    queue(simulator, consumer, fault)

    assert client.create(headers).status_code in {500, 502, 503, 504}
    assert len(simulator.conversations(consumer=consumer)) == created


@pytest.mark.parametrize("fault", ["truncated_json", "not_json"])
def test_a_garbled_answer(
    simulator: SimulatorProcess, client: Client, consumer: str, fault: str
) -> None:
    """HTTP 200, whole as a response, and not JSON."""
    headers = client.tokens(consumer)
    queue(simulator, consumer, fault)
    answer = client.create(headers)

    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()
    assert len(simulator.conversations(consumer=consumer)) == 1


def test_an_answer_to_somebody_else(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """Well-formed items whose reqIds nobody sent."""
    headers = client.tokens(consumer)
    queue(simulator, consumer, "wrong_req_id")
    items = client.create(headers).json()

    assert [item["code"] for item in items] == ["OK", "OK"]
    assert not {item["reqId"] for item in items} & {item["id"] for item in batch()}


def test_a_refusal_inside_a_200(simulator: SimulatorProcess, client: Client, consumer: str) -> None:
    """HTTP says 200, the item says BAD_REQUEST, and nothing was made."""
    headers = client.tokens(consumer)
    queue(simulator, consumer, "bad_request_as_200")
    answer = client.create(headers)

    assert answer.status_code == 200
    assert [(item["code"], item["reqId"]) for item in answer.json()] == [
        ("OK", batch()[0]["id"]),
        ("BAD_REQUEST", batch()[1]["id"]),
    ]
    assert simulator.conversations(consumer=consumer) == []


def test_a_token_revoked_before_its_time(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """The token is bad from then on, everywhere; a new one is good."""
    headers = client.tokens(consumer)
    queue(simulator, consumer, "token_expired")
    answers = [client.create(headers) for _ in range(2)]

    assert [one.json()["body"]["errorCode"] for one in answers] == [40102, 40102]
    assert client.identify(consumer, headers["Authorization"]).status_code == 401
    assert client.create(client.tokens(consumer)).status_code == 200


def test_a_consumer_token_refused_once(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """40103, and the same token is good the next time."""
    headers = client.tokens(consumer)
    queue(simulator, consumer, "consumer_token_refused")
    answers = [client.create(headers) for _ in range(2)]

    assert [one.status_code for one in answers] == [401, 200]
    assert answers[0].json()["body"]["errorCode"] == 40103


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("domain", lambda client: client.domain("idp")),
        ("sentinel", lambda client: client.log_in()),
        ("idp", lambda client: client.identify("c")),
        ("smt", lambda client: client.engage()),
        ("msgHist", lambda client: client.search("c", ["OPEN"])),
    ],
)
def test_every_endpoint_can_fail(
    simulator: SimulatorProcess, client: Client, name: str, call: Callable[[Client], Any]
) -> None:
    """By probability, each by itself; the rest goes on."""
    simulator.control("faults", {"probabilities": {f"{name}.too_many_requests": 1}})

    assert call(client).status_code == 429
    assert client.create({}).status_code == 401
    assert simulator.stats()["total"]["faults"] == {f"{name}.too_many_requests": 1}


def test_conversations_that_close_at_once(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """The one-open rule protects nobody then, and second conversations are counted."""
    simulator.control("faults", {"closeAtOnce": True})
    headers = client.tokens(consumer)
    statuses = [client.create(headers).status_code for _ in range(3)]
    total = simulator.stats()["total"]

    assert statuses == [200, 200, 200]
    assert (total["conversationsCreated"], total["conversationsOpen"]) == (3, 0)
    assert total["secondConversations"] == 2
    assert total["consumers"]["several"] == [
        {"account": ACCOUNT, "consumer": consumer, "conversations": 3}
    ]
