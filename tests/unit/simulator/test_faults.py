"""Which fault a call suffers."""

import random

import pytest

from simulator.faults import POSSIBLE, Fault, FaultPlan, fault_name, parse_fault


def plan(seed: int = 1, **probabilities: float) -> FaultPlan:
    return FaultPlan(probabilities, random.Random(seed))


def test_every_fault_has_a_name_that_is_read_back() -> None:
    """Names and faults are one to one; those of CONVERSATION go without the endpoint."""
    every = [(endpoint, fault) for endpoint, faults in POSSIBLE.items() for fault in faults]

    assert [parse_fault(fault_name(*one)) for one in every] == every
    assert fault_name("conversation", Fault.RESET) == "reset"
    assert {fault for _, fault in every} == set(Fault)


@pytest.mark.parametrize("name", ["rest", "", "ipd.reset", "idp.loading", "loading", "idp."])
def test_an_unknown_fault_is_named(name: str) -> None:
    """The sentence begins with what was written and says what there is."""
    with pytest.raises(ValueError, match=f"^{name}: unknown .*; known "):
        parse_fault(name)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_lies_between_0_and_1(probability: float) -> None:
    """Anything else is refused by name."""
    with pytest.raises(ValueError, match=r"^reset: a probability must be between 0 and 1"):
        plan(reset=probability)


def test_the_probabilities_of_an_endpoint_do_not_exceed_1() -> None:
    """One call suffers one fault at most, so they add up; each endpoint by itself."""
    FaultPlan({"reset": 0.6, "idp.reset": 0.6, "server_error": 0.4}, random.Random(1))
    with pytest.raises(ValueError, match="fault probabilities of conversation exceed 1"):
        plan(reset=0.6, server_error=0.5)


def test_faults_come_as_often_as_asked() -> None:
    """A tenth, a fifth, and nothing for the rest; other endpoints are left alone."""
    chosen = plan(reset=0.1, lost_answer=0.2)
    drawn = [chosen.choose("conversation", None) for _ in range(20_000)]

    assert drawn.count(Fault.RESET) == pytest.approx(2000, rel=0.1)
    assert drawn.count(Fault.LOST_ANSWER) == pytest.approx(4000, rel=0.1)
    assert {chosen.choose("idp", None) for _ in range(100)} == {None}


def test_the_same_seed_gives_the_same_faults() -> None:
    """Runs can be repeated."""
    first, second, other = (plan(seed, reset=0.5) for seed in (1, 1, 2))
    drawn = [
        [one.choose("conversation", None) for _ in range(50)] for one in (first, second, other)
    ]

    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_a_queued_fault_hits_the_next_calls_of_its_consumer() -> None:
    """Twice this, then that, then nothing; other consumers and endpoints see nothing."""
    waiting = plan()
    waiting.queue("lost_answer", "c-1", times=2)
    waiting.queue("reset", "c-1", times=1)
    waiting.queue("send.reset", "c-1", times=1)

    assert waiting.queued() == 4
    assert waiting.choose("conversation", "c-2") is None
    assert [waiting.choose("conversation", "c-1") for _ in range(4)] == [
        Fault.LOST_ANSWER,
        Fault.LOST_ANSWER,
        Fault.RESET,
        None,
    ]
    assert waiting.choose("send", "c-1") is Fault.RESET
    assert waiting.queued() == 0


def test_a_fault_waits_for_a_consumer_only_where_calls_name_one() -> None:
    """Sentinel and the Domain API know no consumer."""
    with pytest.raises(ValueError, match=r"^sentinel\.reset: only faults of"):
        plan().queue("sentinel.reset", "c-1", times=1)
