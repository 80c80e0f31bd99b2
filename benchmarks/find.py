"""`python -m benchmarks.find`: how long an answer about one of a million finished jobs takes.

The ledger is filled with the records that workers write, in batches and without a worker. Then each
command is timed as a whole process, from its start to its end, and the console's pages as a browser
asks for them.
"""

from __future__ import annotations

import hashlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import requests
from redis import Redis

from benchmarks.jobs import job as document
from benchmarks.machine import description
from console.web.site import FRESH_SECONDS
from tasks.messages.job import Job, parse_job
from tasks.messages.outcome import Outcome, opened
from tasks.messages.outgoing import now
from tasks.store.connection import SCRIPTS, Keys, connect, joined
from tasks.store.finished import consumer_note, note_name, pack, write_note
from tasks.store.ledger import today
from tests.jobs import ACCOUNT, ONE_ACCOUNT
from tests.overture_command import start_overture
from tests.redis_server import RedisServer, free_port
from tests.worker_process import environment

SCRIPT: Final = Path(__file__).with_name("find.lua")
KEPT_MS: Final = 7 * 86_400_000
BATCH: Final = 500
# So many jobs does a consumer have, and a submission at most.
JOBS_EACH: Final = 2
SUBMISSION_JOBS: Final = 100_000
NAMES: Final = uuid.UUID("4b0c1a52-9a0e-4d6f-8a77-55f6a1f0a1c3")
TOKEN: Final = re.compile(r'name="token" value="([0-9a-f]{64})"')
MILLISECONDS: Final = 1000


@click.command()
@click.option("--jobs", default=1_000_000, show_default=True, help="Finished jobs in the ledger.")
@click.option("--times", default=5, show_default=True, help="Of so many, the median.")
def main(*, jobs: int, times: int) -> None:
    """Fill a ledger, and print how long each way of asking takes, in ms."""
    click.echo(description())
    with tempfile.TemporaryDirectory() as folder:
        # What was filled in is needed no longer than this process.
        server = RedisServer(Path(folder), options={"appendonly": "no"}).start()
        try:
            begun = time.monotonic()
            fill_all(server.url, jobs)
            with server.client() as store:
                memory: Any = store.info("memory")
            used = int(memory["used_memory"]) / 2**20
            took = time.monotonic() - begun
            click.echo(f"{jobs:,} jobs, {used:,.0f} MiB, filled in {took:.0f} s")
            for name, ask in asked(server.url, jobs // 3):
                ask()
                found = sorted(timed(ask) for _ in range(times))
                click.echo(
                    f"{name}: {statistics.median(found):.0f} ms, {found[0]:.0f} to {found[-1]:.0f}"
                )
        finally:
            server.stop()


def timed(ask: Callable[[], object]) -> float:
    """Return how long something takes, in ms, once what the console keeps for a moment is old."""
    time.sleep(1.1 * FRESH_SECONDS)
    begun = time.perf_counter()
    ask()
    return (time.perf_counter() - begun) * MILLISECONDS


def asked(url: str, number: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Give the ways of asking for a job, with their names."""
    settings = {**ONE_ACCOUNT, "broker_url": url}
    consumer, conversation, submission = consumer_of(number), conversation_of(number), named(number)
    for arguments, wanted in (
        (["find", "--consumer", consumer], job_of(number)),
        (["find", "--conversation", conversation], job_of(number)),
        (["submissions", "show", submission], submission),
        (["submissions", "list"], submission),
        (["status", job_of(number)], conversation),
    ):
        name = " ".join(part for part in arguments if not any(map(str.isdigit, part)))
        yield f"overture {name}", partial(run, arguments, settings, wanted)
    with console(settings) as address, requests.Session() as session:
        session.trust_env = False
        for path in ("/", "/submissions", f"/submission?id={submission}"):
            yield f"console, page {path}", partial(page, session, address + path)
        token = TOKEN.findall(page(session, f"{address}/search"))[0]
        for kind, searched in (
            ("job", job_of(number)),
            ("consumer", consumer),
            ("conversation", conversation),
        ):
            ask = partial(searching, session, f"{address}/search", token, searched, job_of(number))
            yield f"console, search for a {kind}", ask


def run(arguments: list[str], settings: dict[str, object], wanted: str) -> None:
    """Run a command as its user does, whose Python keeps what it has compiled."""
    variables = environment(settings)
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-m", "console", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert wanted in done.stdout, done.stdout


@contextmanager
def console(settings: dict[str, object]) -> Iterator[str]:
    """Serve the console."""
    address = f"127.0.0.1:{free_port()}"
    process = start_overture("console", "--address", address, settings=settings)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"http://{address}"
    finally:
        process.terminate()
        process.communicate()


def page(session: requests.Session, url: str) -> str:
    """Get a page."""
    answer = session.get(url, timeout=60)
    answer.raise_for_status()
    return answer.text


def searching(session: requests.Session, url: str, token: str, searched: str, wanted: str) -> None:
    """Send the form of the page Search."""
    answer = session.post(url, data={"token": token, "id": searched}, timeout=60)
    assert wanted in answer.text


def job_of(number: int) -> str:
    return str(uuid.uuid5(NAMES, f"job {number}"))


def consumer_of(number: int) -> str:
    return f"c-{uuid.uuid5(NAMES, f'consumer {number // JOBS_EACH}')}"


def conversation_of(number: int) -> str:
    return str(uuid.uuid5(NAMES, f"conversation {number}"))


def named(number: int) -> str:
    return f"campaign-{number // SUBMISSION_JOBS}"


def fill_all(url: str, jobs: int) -> None:
    """Write so many finished jobs, with every processor there is."""
    parts = range(0, jobs, SUBMISSION_JOBS)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(
            partial(_fill_part, url), parts, (min(one + SUBMISSION_JOBS, jobs) for one in parts)
        ):
            pass


def _fill_part(url: str, start: int, end: int) -> None:
    with connect(url) as store:
        for first in range(start, end, BATCH):
            fill(store, range(first, min(first + BATCH, end)))


def fill(store: Redis, numbers: range) -> None:
    """Write finished jobs of one submission as the ledger does."""
    keys, submission = Keys(ACCOUNT), named(numbers.start)
    names = [
        keys.counts,
        keys.consumers,
        keys.opened,
        keys.submissions,
        keys.tally(submission),
        keys.ended(submission, today()),
    ]
    args: list[Any] = [submission, KEPT_MS]
    for number in numbers:
        job, outcome = make(number)
        names.append(keys.job(job.job_id))
        args += [
            job.job_id,
            pack(job, outcome),
            consumer_note(job.consumer_id, job.job_id),
            note_name(str(outcome.created_id)),
            write_note(job.job_id),
        ]
    helpers = (SCRIPTS / f"{name}.lua" for name in ("clock", "record", "submission", "opened"))
    joined(store, *helpers, SCRIPT)(names, args)


def make(number: int) -> tuple[Job, Outcome]:
    """Make a job and its conversation."""
    ids = {
        "jobId": job_of(number),
        "consumerId": consumer_of(number),
        "submissionId": named(number),
    }
    job = parse_job({**document(number), **ids}, accounts={ACCOUNT})
    outcome = opened(
        job,
        status="created",
        conversation_id=conversation_of(number),
        lp_consumer_id=hashlib.sha256(job.consumer_id.encode()).hexdigest(),
        attempts=1,
        enqueued_at=now(),
        resolved_by=None,
        conversation=job.conversation,
    )
    return job, outcome


if __name__ == "__main__":
    main()
