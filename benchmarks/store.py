"""`python -m benchmarks.store`: what a job costs the store, in its one thread and in its memory.

The ledger's own calls, by threads as a worker's, with nothing else around them: no broker, no API.
"""

from __future__ import annotations

import json
import tempfile
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from redis import Redis

from benchmarks.jobs import job as document
from benchmarks.machine import description
from tasks.messages.attempt import Attempt
from tasks.messages.job import Job, parse_job
from tasks.messages.outcome import Outcome, failed, opened
from tasks.messages.outgoing import now
from tasks.store.answers import Go
from tasks.store.connection import connect
from tasks.store.ledger import Ceiling, Ledger
from tests.redis_server import REDIS, VALKEY, RedisServer

ACCOUNT = "12345678"
CEILING = Ceiling(rate=1e6, in_flight=1000)
THREADS = 20
WARM_UP = 500
CAUSE = "asyncMessagingEnt va.msg.liveperson.net: HTTP 400 (40000)"
MICROSECONDS = 1_000_000


@click.command()
@click.option("--jobs", default=20_000, show_default=True, help="Jobs of each kind.")
@click.option("--server", type=click.Choice(["valkey", "redis"]), default="valkey")
def main(*, jobs: int, server: str) -> None:
    """Measure what begin, finish and published cost the server, and what a finished job takes."""
    click.echo(description())
    program = {"valkey": VALKEY, "redis": REDIS}[server]
    assert program is not None, f"{server} is not installed"
    with tempfile.TemporaryDirectory() as folder:
        running = RedisServer(Path(folder), program=program).start()
        try:
            for kind in ("created", "reused", "failed"):
                click.echo(json.dumps({"kind": kind, **measured(running, kind, jobs)}))
        finally:
            running.stop()


def measured(server: RedisServer, kind: str, count: int) -> dict[str, Any]:
    """Take jobs through the ledger; return microseconds of the server and bytes, each per job."""
    store = connect(server.url)
    store.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call] # redis-py
    ledger = Ledger(
        store, dedupe_seconds=7 * 86_400, flight_seconds=35, max_losses=1, repeat_unknown=True
    )
    todo = [fresh(number) for number in range(WARM_UP + count)]
    run(ledger, kind, todo[:WARM_UP])
    begun = Usage(store)
    run(ledger, kind, todo[WARM_UP:])
    ended = Usage(store)
    return {
        "cpu_us": round((ended.cpu - begun.cpu) * MICROSECONDS / count, 1),
        "calls": {
            name: round(used / count, 1)
            for name, used in sorted(ended.commands.items())
            if name in {"evalsha", "eval"}
            for used in [used - begun.commands.get(name, 0.0)]
        },
        "bytes": round((ended.memory - begun.memory) / count, 1),
    }


class Usage:
    """What a server has used up to now: seconds, microseconds by command, bytes."""

    def __init__(self, store: Redis) -> None:
        cpu: Any = store.info("cpu")
        memory: Any = store.info("memory")
        commands: Any = store.info("commandstats")
        self.cpu = float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])
        self.memory = int(memory["used_memory"])
        self.commands = {
            name.removeprefix("cmdstat_"): float(used["usec"]) for name, used in commands.items()
        }


def run(ledger: Ledger, kind: str, jobs: list[Job]) -> None:
    """Take jobs to their outcomes, many at a time, and have each one written down as published."""
    ended = threading.Semaphore(0)

    def one(job: Job) -> None:
        owner = f"4711-abcdef01/{job.job_id}"
        begun = ledger.begin(job, owner, ceiling=CEILING, purpose="send", patience=60)
        assert isinstance(begun, Go), begun

        def recorded(_: object) -> None:
            ledger.mark_published(ACCOUNT, job.job_id)
            ended.release()

        ledger.finish(job, owner, outcome=outcome(kind, job), feedback="ok", then=recorded)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(one, jobs):
            pass
    for _ in jobs:
        ended.acquire()
    ledger.close(seconds=60)


def fresh(number: int) -> Job:
    """Make a job whose ids are as a producer's."""
    fields = {"jobId": str(uuid.uuid4()), "consumerId": f"c-{uuid.uuid4()}"}
    return parse_job({**document(number), **fields}, accounts={ACCOUNT})


def outcome(kind: str, job: Job) -> Outcome:
    """Make what comes of it."""
    if kind == "failed":
        attempt = Attempt(at=now(), http_status=400, outcome="rejected", cause=CAUSE)
        return failed(
            job,
            {**document(1), "jobId": job.job_id, "consumerId": job.consumer_id},
            code="rejected",
            message="HTTP 400: Bad Request: skillId has more than 10 digits",
            http_status=400,
            error_code=40000,
            attempts=[attempt],
        )
    return opened(
        job,
        status="created" if kind == "created" else "reused",
        conversation_id=str(uuid.uuid4()),
        lp_consumer_id=uuid.uuid4().hex + uuid.uuid4().hex,
        attempts=1,
        enqueued_at=now(),
        resolved_by=None if kind == "created" else "monitoring",
        conversation=job.conversation,
    )


if __name__ == "__main__":
    main()
