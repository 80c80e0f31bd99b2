"""The demo itself: enqueues the jobs, and collects their outcomes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Final

from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE
from console.admin.dead_letters import read_dead
from console.admin.records import cancel
from console.demo.sample import Sample
from console.demo.stage import Stage
from tasks.store.connection import connect
from worker.broker.base import Broker, Taker
from worker.broker.brokers import broker_at
from worker.broker.message import body_of

# The longest time that the demo takes, whatever goes wrong.
MAX_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.1


def play(stage: Stage, sample: Sample, report: Callable[[int], None]) -> tuple[Outcomes, int]:
    """Enqueue the sample and collect all outcomes.

    Returns the outcomes, and how many messages still wait; `report` is called with the number of
    outcomes. Raises StageError when a worker ends.
    """
    outcomes = Outcomes()
    with ExitStack() as stack:
        store = stack.enter_context(closing(connect(stage.server_url, connections=2)))
        _prepare(stage, sample, store)
        broker = broker_at(stage.server_url)
        connection = stack.enter_context(broker.connection())
        broker.declare(connection, [JOBS_QUEUE])
        broker.producer(connection).publish(sample.messages)
        results = stack.enter_context(broker.taking(RESULTS_QUEUE))
        failures = stack.enter_context(broker.taking(DEAD_LETTERS_QUEUE))
        deadline = time.monotonic() + MAX_SECONDS
        while True:
            # Counted first: a message that is no longer waiting then has an outcome by now.
            waiting = _waiting(broker)
            _collect(results, outcomes.add_result)
            _collect(failures, outcomes.add_failure)
            report(outcomes.counts().total())
            if not waiting or time.monotonic() > deadline:
                return outcomes, waiting
            stage.demand_workers()
            time.sleep(POLL_SECONDS)


def _prepare(stage: Stage, sample: Sample, store: Redis) -> None:
    for fault in sample.faults:
        stage.simulator.plan_fault(fault.consumer_id, fault.name, fault.times)
    for account_id, job_id in sample.cancelled:
        cancel(store, account_id, job_id)


def _waiting(broker: Broker) -> int:
    ((jobs,), delayed) = broker.depths([JOBS_QUEUE])
    return jobs.ready + delayed + (jobs.unacked or 0)


def _collect(taker: Taker, add: Callable[[bytes], None]) -> None:
    for message in iter(taker.take, None):
        add(body_of(message))
        message.ack()


@dataclass(slots=True)
class Outcomes:
    """The outcomes; each counts once, however often it came."""

    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[tuple[str, str], bytes] = field(default_factory=dict)
    repeats: int = 0
    contradictions: list[str] = field(default_factory=list)

    def add_result(self, body: bytes) -> None:
        """Add a result."""
        result = json.loads(body)
        self._note(self.results, result["jobId"], result)

    def add_failure(self, body: bytes) -> None:
        """Add a dead letter."""
        letter = read_dead(body, {})
        self._note(self.failures, (letter.job_id, letter.code), body)

    def counts(self) -> Counter[str]:
        """Count them by kind: `created`, `reused`, `failed:<code>`."""
        return Counter(str(result["status"]) for result in self.results.values()) + Counter(
            f"failed:{code}" for _, code in self.failures
        )

    def _note(self, known: dict[Any, Any], name: Any, outcome: Any) -> None:
        if name not in known:
            known[name] = outcome
        elif known[name] == outcome:
            self.repeats += 1
        else:
            self.contradictions.append(f"{name} has two different outcomes")


def disagreements(
    outcomes: Outcomes,
    expected: Mapping[str, int],
    *,
    opened: set[str],
    second_conversations: int,
    waiting: int,
) -> Iterator[str]:
    """Return a sentence for each count that does not agree.

    `opened` are the conversations that LivePerson has, `waiting` the messages still in the queue.
    """
    yield from outcomes.contradictions
    counts = outcomes.counts()
    for kind in sorted({*expected, *counts}):
        if counts[kind] != expected.get(kind, 0):
            yield f"{kind}: {expected.get(kind, 0)} expected, {counts[kind]} came out"
    created = [one for one in outcomes.results.values() if one["status"] == "created"]
    ids = {str(one["conversationId"]) for one in created}
    if len(ids) != len(created):
        yield f"{len(created) - len(ids)} conversations are in two results that say created"
    if missing := opened - ids:
        yield f"{len(missing)} conversations were opened that no result names"
    if invented := {str(one["conversationId"]) for one in outcomes.results.values()} - opened:
        yield f"{len(invented)} conversations are in results that LivePerson does not have"
    if second_conversations:
        yield f"{second_conversations} consumers got a second conversation"
    if waiting:
        yield f"{waiting} messages are still waiting"
