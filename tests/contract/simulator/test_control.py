"""Limits and counts, as the control API sets and shows them."""

import concurrent.futures
import socket
import uuid
from typing import Any

import pytest
import requests

from tests.simulator_client import ACCOUNT, Client, batch
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until


def test_a_rate(simulator: SimulatorProcess, client: Client, consumer: str) -> None:
    """Beyond the burst a call is 429 with Retry-After if wanted, and is counted as such."""
    simulator.control("limits", {"rate": 0.01, "burst": 2, "retryAfter": 3})
    headers = client.tokens(consumer)
    answers = [client.create(headers) for _ in range(4)]
    total = simulator.stats()["total"]

    assert [one.status_code for one in answers] == [200, 400, 429, 429]
    assert answers[2].headers["Retry-After"] == "3"
    assert answers[2].json()["type"] == ".ReqBody$ErrorResp"
    assert total["throttledShare"] == 0.5
    assert sum(row["accepted"] for row in total["perSecond"]) == 2
    assert sum(row["throttled"] for row in total["perSecond"]) == 2


def test_a_cap_on_calls_in_flight(simulator: SimulatorProcess, client: Client) -> None:
    """Six at once where two may be: two pass, the others are refused at once."""
    everyone = [client.tokens(str(uuid.uuid4())) for _ in range(6)]
    simulator.control("limits", {"maxConcurrent": 2, "latency": 1000})
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda headers: Client(simulator.url).create(headers), everyone))

    assert sorted(one.status_code for one in answers) == [200, 200, 429, 429, 429, 429]
    assert simulator.stats()["total"]["maxConcurrent"] == 3


def test_a_rate_of_logins(simulator: SimulatorProcess, client: Client) -> None:
    """Sentinel has a limit of its own."""
    simulator.control("limits", {"tokenRate": 0.01})

    assert [client.log_in().status_code for _ in range(2)] == [200, 429]


def test_limits_of_one_account(simulator: SimulatorProcess, client: Client) -> None:
    """An account's own limits come before everyone's; unknown accounts and names are refused."""
    in_force = simulator.control("limits", {"account": ACCOUNT, "rate": 0})

    assert in_force["rate"] == 0
    assert client.create(client.tokens("c")).status_code == 429
    for body in ({"account": "1", "rate": 0}, {"speed": 1}, {"rate": -1}, {"rate": "1"}):
        answer = client.call("POST", "/control/limits", json=body)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_everything_is_counted_once(simulator: SimulatorProcess, client: Client) -> None:
    """Calls by endpoint and status, in all and by account; strangers are counted in all only."""
    conversation_ids = [client.open(f"c-{number}") for number in range(3)]
    client.create(client.tokens("c-0"))
    Client(simulator.url, "unknown").create({})
    stats = simulator.stats()
    listed = simulator.conversations()

    assert stats["total"]["calls"] == {
        "conversation": {"200": 3, "400": 1, "401": 1},
        "idp": {"201": 4},
        "sentinel": {"200": 4},
    }
    assert stats["accounts"][ACCOUNT]["calls"]["conversation"] == {"200": 3, "400": 1}
    assert stats["total"]["conversationsCreated"] == 3
    assert stats["total"]["secondConversations"] == 0
    assert [one["conversationId"] for one in listed] == conversation_ids
    assert listed[1]["body"] == batch()[1]["body"]
    assert (listed[1]["extConsumerId"], listed[1]["brandId"]) == ("c-1", ACCOUNT)


def test_a_caller_that_hangs_up_gets_its_conversation(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """What has been sent is processed, and counted once."""
    headers = client.tokens(consumer)
    simulator.control("limits", {"latency": 300})
    with pytest.raises(requests.ReadTimeout):
        client.create(headers, timeout=0.05)
    client.http.close()
    wait_until(lambda: simulator.stats()["total"]["conversationsCreated"] == 1, "a conversation")
    total = simulator.stats()["total"]

    assert total["calls"]["conversation"] == {"200": 1}
    assert total["hungUp"] == 1


def test_a_request_cut_short_is_counted(simulator: SimulatorProcess) -> None:
    """Half a request does nothing."""
    with socket.create_connection(("127.0.0.1", simulator.port)) as connection:
        path = f"/api/account/{ACCOUNT}/messaging/consumer/conversation?v=3"
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[".encode()
        )
    wait_until(lambda: simulator.stats()["total"]["calls"] != {}, "the call is counted")

    assert simulator.stats()["total"]["calls"] == {"conversation": {"cut_short": 1}}


def test_closing_from_outside(simulator: SimulatorProcess, client: Client) -> None:
    """By id, by consumer, or all."""
    first, _, _ = (client.open(f"c-{number}") for number in range(3))

    assert simulator.control("close", {"conversationId": first}) == {"closed": 1}
    assert simulator.control("close", {"consumer": "c-1", "account": ACCOUNT}) == {"closed": 1}
    assert simulator.control("close") == {"closed": 1}
    assert simulator.stats()["total"]["conversationsOpen"] == 0


def test_a_reset_begins_again(simulator: SimulatorProcess, client: Client) -> None:
    """Conversations, counts, limits and faults are as at the start."""
    client.open("c")
    simulator.control("limits", {"rate": 0})
    simulator.control("faults", {"probabilities": {"idp.reset": 1}})
    simulator.control("reset")

    assert simulator.conversations() == []
    assert simulator.stats()["total"]["calls"] == {}
    client.open("c")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"probabilities": {"rest": 1}}),
        ("faults", {"probabilities": 1}),
        ("faults", {"fault": "reset"}),
        ("faults", {"fault": "rest", "consumer": "c"}),
        ("faults", {"fault": "reset", "consumer": "c", "times": 0}),
        ("close", {"conversation": "x"}),
        ("reset", []),
    ],
)
def test_a_wrong_command_is_one_sentence(client: Client, path: str, body: Any) -> None:
    """400 with the error, and nothing changed."""
    answer = client.call("POST", f"/control/{path}", json=body)

    assert (answer.status_code, list(answer.json())) == (400, ["error"])


@pytest.mark.parametrize("number", ["1e999", "NaN", "-1"])
def test_a_limit_is_a_number_that_ends(client: Client, number: str) -> None:
    """What is in force is said in JSON, which has no other numbers."""
    answer = client.call("POST", "/control/limits", data=f'{{"rate": {number}}}')

    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_tokens_are_invalidated(simulator: SimulatorProcess, client: Client, consumer: str) -> None:
    """All that were issued so far, of one kind; newer ones are good."""
    old = client.tokens(consumer)
    invalidated = simulator.control("invalidate", {"tokens": "consumer"})["invalidated"]
    assert invalidated == len(simulator.stats()["accounts"])
    assert client.create(old).json()["body"]["errorCode"] == 40103
    newer = client.tokens(consumer)
    simulator.control("invalidate", {"tokens": "app", "account": ACCOUNT})
    assert client.create(newer).json()["body"]["errorCode"] == 40102
    assert client.create(client.tokens(consumer)).status_code == 200
    assert client.call("POST", "/control/invalidate", json={"tokens": "all"}).status_code == 400


def test_credentials_are_rotated(
    simulator: SimulatorProcess, client: Client, consumer: str
) -> None:
    """The old secret is refused from then on, and so are the tokens got with it."""
    old = client.tokens(consumer)
    simulator.control("credentials", {"account": ACCOUNT, "clientSecret": "another"})
    assert client.log_in().status_code == 401
    assert client.create(old).status_code == 401
    simulator.control("credentials", {"account": ACCOUNT, "clientSecret": "demo-secret"})
    assert client.create(client.tokens(consumer)).status_code == 200
    assert client.call("POST", "/control/credentials", json={"account": "1"}).status_code == 400
