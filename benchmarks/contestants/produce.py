"""A contestant's producer: `produce NAME fill FIRST COUNT`, or `produce NAME lone COUNT`.

`lone` puts one job at a time into an idle pipeline and prints, as JSON, the milliseconds from
before it was enqueued until its result was there.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from kombu import Connection
from redis import Redis

from benchmarks.contestants.call import BROKER_URL, ON_RABBITMQ
from benchmarks.jobs import jobs

WAIT_SECONDS = 30.0
WARM_UP = 20


def sender(name: str) -> AbstractContextManager[Callable[[dict[str, Any]], None]]:
    """Give what enqueues one job of a contestant."""
    if name == "overture":
        from benchmarks.contestants import overture

        return nullcontext(overture.enqueue)
    if name == "celery":
        from benchmarks.contestants import celery_plain

        return nullcontext(celery_plain.enqueue)
    if name == "dramatiq":
        from benchmarks.contestants import dramatiq_plain

        return nullcontext(dramatiq_plain.enqueue)
    from benchmarks.contestants import taskiq_plain

    return taskiq_plain.sender()


def receiver(queue: str) -> Callable[[], None]:
    """Return what waits for one result."""
    if not ON_RABBITMQ:
        client = Redis.from_url(BROKER_URL)

        def pop() -> None:
            assert client.brpop([queue], timeout=int(WAIT_SECONDS)) is not None

        return pop
    connection = Connection(BROKER_URL)
    arrived: list[object] = []
    cast("Any", connection.default_channel).basic_consume(
        queue, no_ack=True, callback=arrived.append
    )

    def drain() -> None:
        while not arrived:
            connection.drain_events(timeout=WAIT_SECONDS)
        arrived.pop()

    return drain


def lone(name: str, queue: str, count: int) -> list[float]:
    """Measure jobs one by one, at moments that have nothing to do with anybody's timers."""
    wait, pauses = receiver(queue), random.Random(1)
    milliseconds = []
    with sender(name) as send:
        for job in jobs(WARM_UP + count, first=10**6):
            time.sleep(pauses.uniform(0.005, 0.025))
            begun = time.perf_counter()
            send(job)
            wait()
            milliseconds.append((time.perf_counter() - begun) * 1000)
    return milliseconds[WARM_UP:]


def main() -> None:
    name, what, *numbers = sys.argv[1:]
    if what == "fill":
        first, count = map(int, numbers)
        with sender(name) as send:
            for job in jobs(count, first=first):
                send(job)
    else:
        queue, count_text = numbers
        print(json.dumps(lone(name, queue, int(count_text))))


if __name__ == "__main__":
    main()
