"""What faults do to answers."""

import random

import pytest

from simulator.calls import Call, json_answer, read_json
from simulator.disturbance import afterwards, instead, server_error
from simulator.faults import Fault
from simulator.settings import Settings
from simulator.state import State
from tests.simulator_client import ACCOUNT, documented

GOOD = json_answer(200, documented("resp_03_200_uuid_reqids"))


def test_every_fault_is_handled_once() -> None:
    """A fault comes before, changes the answer after, or is the socket's affair."""
    state = State(Settings())
    call = Call({"account_id": ACCOUNT}, {}, {}, b"", 1.0)
    before = {fault for fault in Fault if instead(fault, state, call) is not None}
    after = {fault for fault in Fault if afterwards(fault, GOOD, random.Random(1)) is not GOOD}
    on_the_wire = {Fault.LOST_ANSWER, Fault.WITHHELD_ANSWER, Fault.CUT_OFF, Fault.SLOW_ANSWER}

    assert not before & after
    assert before | after | on_the_wire == set(Fault)
    assert not (before | after) & on_the_wire
    assert instead(None, state, call) is None
    assert afterwards(None, GOOD, random.Random(1)) is GOOD


def test_half_an_answer_is_not_json() -> None:
    """The first half, with nothing to show that there was more."""
    half = afterwards(Fault.TRUNCATED_JSON, GOOD, random.Random(1)).content

    assert GOOD.content.startswith(half)
    with pytest.raises(ValueError):
        read_json(half)


def test_servers_fail_in_four_ways() -> None:
    """Error objects, a gateway's page, and nothing at all; the 502 is the documented one."""
    rng = random.Random(1)
    answers = {answer.status: answer for answer in (server_error(rng) for _ in range(100))}
    documented_502 = documented("resp_10_502_unified_error")
    body = read_json(answers[502].content)
    documented_502["reqId"] = body["reqId"]

    assert sorted(answers) == [500, 502, 503, 504]
    assert body == documented_502
    assert answers[503].content_type == "text/html"
    assert answers[504].content == b""
