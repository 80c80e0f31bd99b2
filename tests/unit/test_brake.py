"""A job that is paused: nothing is asked of LivePerson for it, and it goes on by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.steps import Later, Record
from tasks.stopping import Stopping
from tasks.store.answers import Go
from tasks.store.brake import Scope, pause, resume
from tests.job_world import World, job_world
from tests.jobs import ACCOUNT, make_job
from tests.scripted_liveperson import created
from tests.waiting import wait_until


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give a worker."""
    with job_world(tmp_path, monkeypatch) as found:
        yield found


def stop(world: World, submission: str | None = None) -> None:
    """Pause everything, or a submission; the worker's next beat sees it."""
    pause(world.store, Scope(None, submission), known=[ACCOUNT], by="anna@host")


def go_on(world: World) -> None:
    """Let everything go on."""
    resume(world.store, Scope(), known=[ACCOUNT])


def test_no_token_is_asked_for_while_its_account_is_paused(world: World) -> None:
    """Nor is it an attempt: it goes back to the broker."""
    stop(world)
    world.brake.look()
    step = world.try_once(world.work(make_job()))
    assert isinstance(step, Later)
    assert step.why == "paused"
    assert (world.live.calls, world.history(make_job())) == ([], ())


def test_nothing_is_asked_before_the_worker_has_looked(world: World) -> None:
    """A worker that starts while everything is paused does not know it yet."""
    world.brake._seen = None
    stop(world)
    step = world.try_once(world.work(make_job()))
    assert isinstance(step, Later)
    assert world.live.calls == []


def test_what_has_its_token_already_is_not_sent(world: World) -> None:
    """The last beat was before the pause: the script knows."""
    stop(world, "spring")
    step = world.try_once(world.work(make_job(submissionId="spring")))
    assert isinstance(step, Later)
    assert (step.why, world.live.calls) == ("paused", ["tokens"])


def test_a_job_in_a_slot_goes_on_within_a_second(world: World) -> None:
    """And those that wait in line behind it; meanwhile one of them asks, so nothing stalls."""
    stop(world)
    world.rules.permits._patience = 30
    begun: list[object] = []

    def wait(number: int) -> None:
        work = world.work(make_job(number))
        begun.append(world.rules.permits.begin(work, world.account))

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert begun == []
    answered = world.rules.permits.answered_at
    wait_until(lambda: world.rules.permits.answered_at > answered, "somebody asks again")
    go_on(world)
    resumed = time.monotonic()
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - resumed < 1.5
    assert [type(one) for one in begun] == [Go, Go, Go]


def test_a_paused_job_expires_on_time(world: World) -> None:
    """As a dead letter; nothing was asked for it."""
    stop(world)
    world.brake.look()
    soon = datetime.now(UTC) + timedelta(seconds=0.1)
    step = world.try_once(replace(world.work(make_job()), expires_at=soon))
    assert isinstance(step, Record)
    assert (step.outcome.counter, world.live.calls) == ("failed:expired", [])


def test_a_paused_job_can_be_cancelled(world: World) -> None:
    """At its next turn, without a call."""
    stop(world)
    world.brake.look()
    job = make_job()
    world.store.hset(f"overture:{{{ACCOUNT}}}:job:{job.job_id}", "cancelled", 1)
    step = world.try_once(world.work(job))
    assert isinstance(step, Record)
    assert (step.outcome.counter, world.live.calls) == ("failed:cancelled", [])


def test_a_worker_that_drains_lets_go_of_what_is_paused(world: World) -> None:
    """At once."""
    stop(world)
    world.brake.look()
    world.shutdown.draining.set()
    with pytest.raises(Stopping):
        world.try_once(world.work(make_job()))


def test_a_job_goes_on_as_before(world: World) -> None:
    """With one attempt."""
    stop(world)
    world.brake.look()
    world.try_once(world.work(make_job()))
    go_on(world)
    world.live.script.append(created())
    step = world.try_once(world.work(make_job()))
    assert isinstance(step, Record)
    assert step.outcome.counter == "created"
