"""Commands in this process, on a broker and a store in memory: no server, no process."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from fakeredis import FakeServer

from config.names import CREATED_KEY, FAILED_KEY, JOBS_QUEUE
from console import main
from tasks.messages.dead_letter import ErrorCode
from tasks.messages.job import Job, parse_job
from tasks.messages.outcome import Outcome, failed, opened
from tasks.store.answers import Cancelled
from tasks.store.ledger import Ceiling, Ledger
from tests.finishing import finish
from tests.jobs import ACCOUNT
from tests.memory_broker import MemoryBroker
from tests.memory_store import memory_store
from worker.broker.message import body_of

WIDE = Ceiling(rate=1e6, in_flight=1000)
SETTINGS = {
    "OVERTURE_ACCOUNT_ID": ACCOUNT,
    "OVERTURE_CLIENT_ID": "demo-client",
    "OVERTURE_CLIENT_SECRET": "demo-secret",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a command said."""

    exit_code: int
    stdout: str
    stderr: str


class MemoryServers:
    """The servers of commands, and a worker that does its jobs without LivePerson."""

    def __init__(self, server: FakeServer) -> None:
        self.broker = MemoryBroker()
        self.server = server
        self.store = memory_store(server)
        self.ledger = Ledger(
            self.store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True
        )

    def run(self, *arguments: str) -> Result:
        """Call the command `overture`; its output goes to files, as commands take them."""
        status = 0
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as errors,
            io.TextIOWrapper(out, encoding="utf-8", write_through=True) as stdout,
            io.TextIOWrapper(errors, encoding="utf-8", write_through=True) as stderr,
        ):
            with redirect_stdout(stdout), redirect_stderr(stderr):
                try:
                    main(arguments)
                except SystemExit as ending:
                    status = int(ending.code or 0)
            for file in (out, errors):
                file.seek(0)
            return Result(status, out.read().decode(), errors.read().decode())

    def waiting(self) -> list[dict[str, Any]]:
        """Return the jobs that wait in the queue, in their order."""
        return [json.loads(seen.body) for seen in self.broker.look(JOBS_QUEUE)]

    def work(self, *, most: int | None = None, **codes: ErrorCode) -> None:
        """Do the jobs that wait; those of consumers named in `codes` fail so.

        A consumer's name has underscores here where it has other characters.
        """
        with self.broker.taking(JOBS_QUEUE) as taker:
            left = most
            while left != 0 and (message := taker.take()) is not None:
                document = json.loads(body_of(message))
                job = parse_job(document, accounts={ACCOUNT})
                begun = self.begin(job)
                code = codes.get(job.consumer_id.replace("-", "_"))
                if isinstance(begun, Cancelled):
                    code = "cancelled"
                self.end(job, document, code)
                message.ack()
                left = None if left is None else left - 1

    def begin(self, job: Job) -> object:
        """Have a worker take a job."""
        return self.ledger.begin(job, f"w/{job.job_id}", ceiling=WIDE, purpose="send", patience=100)

    def end(
        self, job: Job, document: dict[str, Any], code: ErrorCode | None, *, message: str = ""
    ) -> Outcome:
        """Have it end, with a conversation or as a dead letter."""
        if code is None:
            outcome = opened(
                job,
                status="created",
                conversation_id=f"conversation-of-{job.consumer_id}",
                lp_consumer_id=None,
                attempts=1,
                enqueued_at="2026-01-01T00:00:00.000Z",
                resolved_by=None,
                conversation=job.conversation,
            )
        else:
            outcome = failed(job, document, code=code, message=message or f"it was {code}")
        assert outcome.routing_key in {CREATED_KEY, FAILED_KEY}
        finish(self.ledger, job, f"w/{job.job_id}", outcome=outcome)
        return outcome


@contextmanager
def memory_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServers]:
    """Have every command of this process use a broker and a store in memory."""
    server = FakeServer(server_type="valkey")
    servers = MemoryServers(server)

    @contextmanager
    def servers_of(_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(store_url="redis://memory", broker_url="memory://")

    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("console.servers.servers_of", servers_of)
    monkeypatch.setattr("console.servers.broker_at", lambda _: servers.broker)
    monkeypatch.setattr("console.servers.connect", lambda *_, **__: memory_store(server))
    with servers.store:
        yield servers
