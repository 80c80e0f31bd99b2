"""The demo itself: the jobs go in, and what comes out is collected."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Final

from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE
from console.admin.records import cancel
from console.admin.take import Taker, taking
from console.demo.reckoning import Outcomes
from console.demo.sample import Sample
from console.demo.stage import Stage
from tasks.store.connection import connect
from worker.broker import broker
from worker.broker.broker import body_of
from worker.broker.producers import confirmed_producer
from worker.broker.redis.layout import queue_depths

# Longer than this the demo never takes, whatever goes wrong, in seconds.
LONGEST_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.1


def play(stage: Stage, sample: Sample, report: Callable[[int], None]) -> tuple[Outcomes, int]:
    """Enqueue the sample and collect what comes of it, for as long as that takes.

    Returns the outcomes, and how many messages still wait; `report` is told how many jobs have an
    outcome. Raises StageError when a worker ends.
    """
    outcomes = Outcomes()
    with ExitStack() as stack:
        store = stack.enter_context(closing(connect(stage.server_url, connections=2)))
        _prepare(stage, sample, store)
        connection = stack.enter_context(broker.connection(stage.server_url))
        broker.declare(connection, [JOBS_QUEUE])
        confirmed_producer(connection).publish(sample.messages)
        results = stack.enter_context(taking(stage.server_url, RESULTS_QUEUE))
        failures = stack.enter_context(taking(stage.server_url, DEAD_LETTERS_QUEUE))
        deadline = time.monotonic() + LONGEST_SECONDS
        while True:
            # Counted first: what is no longer waiting then has come out by now.
            waiting = _waiting(store)
            _collect(results, outcomes.add_result)
            _collect(failures, outcomes.add_failure)
            report(outcomes.counts().total())
            if not waiting or time.monotonic() > deadline:
                return outcomes, waiting
            stage.demand_workers()
            time.sleep(LOOK_SECONDS)


def _prepare(stage: Stage, sample: Sample, store: Redis) -> None:
    for fault in sample.faults:
        stage.simulator.plan_fault(fault.consumer_id, fault.name, fault.times)
    for account_id, job_id in sample.cancelled:
        cancel(store, account_id, job_id)


def _waiting(store: Redis) -> int:
    depth = queue_depths(store, [JOBS_QUEUE])[JOBS_QUEUE]
    return depth.ready + depth.delayed + depth.unacked


def _collect(taker: Taker, add: Callable[[bytes], None]) -> None:
    for message in iter(taker.take, None):
        add(body_of(message))
        message.ack()
