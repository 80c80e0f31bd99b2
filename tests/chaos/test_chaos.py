"""Short runs with real workers, brokers and the simulator: whatever breaks, nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.harness import run
from tests.chaos.plan import NOTHING_SPECIAL, BrokerName, Mix, Plan
from tests.rabbit_server import rabbitmq_missing

# Each run starts a broker of its own, so that any process may do any of them.
BOTH = pytest.mark.parametrize("broker", ["valkey", "rabbitmq"])

EVERYTHING = Plan(
    jobs=250,
    malformed=25,
    odd=25,
    mix=Mix(shared=0.1),
    workers=2,
    kill_every=2.5,
    random=1.5,
    restarts=((0.2, "broker"), (0.5, "store")),
    longest=12,
    settle=90,
)
STRANGERS = Plan(jobs=20, malformed=400, odd=60, large=1, mix=NOTHING_SPECIAL, workers=1, faults=())


@pytest.fixture(autouse=True)
def _needs_its_broker(request: pytest.FixtureRequest) -> None:
    if request.getfixturevalue("broker") == "rabbitmq" and (reason := rabbitmq_missing()):
        pytest.skip(reason)


@BOTH
def test_whatever_breaks_nothing_is_lost_and_nobody_gets_two(
    broker: BrokerName, tmp_path: Path
) -> None:
    """Workers, broker, store, network and LivePerson fail at random; the audit finds no fault."""
    report = run(EVERYTHING, broker, random.randrange(10**6), tmp_path)
    assert report.is_good, "\n".join(report.lines())


@BOTH
def test_a_message_that_is_no_job_is_a_dead_letter(broker: BrokerName, tmp_path: Path) -> None:
    """Each comes out once, to the byte, and the worker goes on with the jobs beside them."""
    report = run(STRANGERS, broker, random.randrange(10**6), tmp_path)
    assert report.is_good, "\n".join(report.lines())
    assert report.outcomes["created"] == STRANGERS.jobs + STRANGERS.odd
    assert report.counts["came out"] == report.counts["submitted"]
