"""A job of a submission with a pace of its own: nothing is asked of LivePerson before its turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.steps import Later, Record
from tasks.store.connection import Keys
from tests.job_world import World, job_world
from tests.jobs import ACCOUNT, make_job
from tests.scripted_liveperson import created

SPRING = "spring"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give a worker, and a submission of one conversation in ten seconds."""
    with job_world(tmp_path, monkeypatch) as found:
        found.store.hset(Keys(ACCOUNT).tally(SPRING), "rate", 0.1)
        yield found


def test_no_token_is_got_for_a_job_whose_turn_is_to_come(world: World) -> None:
    """But for the first, by which a worker finds out; each has a turn of its own."""
    world.live.script.append(created())
    waits = []
    for number in range(4):
        step = world.try_once(world.work(make_job(number, submissionId=SPRING)))
        if isinstance(step, Later):
            assert step.why == "pace"
            waits.append(step.seconds)
    assert waits == [10.0, 20.0, 30.0]
    assert world.live.calls == ["tokens", "create", "tokens"]
    assert world.history(make_job(3)) == ()


def test_it_goes_when_its_turn_has_come(world: World) -> None:
    """And others were never held up."""
    world.live.script.extend([created(), created("other"), created("later")])
    jobs = [make_job(number, submissionId=SPRING) for number in range(2)]
    assert isinstance(world.try_once(world.work(jobs[0])), Record)
    assert isinstance(world.try_once(world.work(jobs[1])), Later)
    assert isinstance(world.try_once(world.work(make_job(7))), Record)
    world.clock.advance(10)
    assert isinstance(world.try_once(world.work(jobs[1])), Record)
