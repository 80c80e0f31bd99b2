"""`overture results`: takes results off the queue, acknowledging each once it is written."""

from __future__ import annotations

import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import click
from kombu import Message

from config.names import JOBS_QUEUE, RESULTS_QUEUE
from console.help import examples
from console.output import Output, complain, counted
from console.pipe import Pipe, is_pipe
from console.servers import Servers, errors_of, open_servers, read_settings
from console.tables import Column, Document, Form, Rows, at, width_of_terminal
from tasks.messages.call import read_outcome
from tasks.messages.json_text import MalformedJSON
from worker.broker.base import Taker
from worker.broker.message import received

# How many results are written before they are committed and acknowledged together.
BATCH_MESSAGES: Final = 200
# How many results `--peek` shows without `--limit`.
MAX_PEEKED: Final = 100
# How often an empty queue is read again.
POLL_SECONDS: Final = 0.2
# When to reconnect to a broker that is away.
RETRY_SECONDS: Final = 2.0

COLUMNS: Final = (
    Column("jobId", at("jobId"), width=36),
    Column("accountId", at("accountId"), width=10),
    Column("consumerId", at("consumerId"), width=36),
    Column("status", at("status"), width=7),
    Column("conversationId", at("conversationId"), width=36),
    Column("createdAt", at("createdAt"), width=24),
    Column("dialogId", at("dialogId")),
    Column("lpConsumerId", at("lpConsumerId")),
    Column("attempts", at("attempts")),
    Column("enqueuedAt", at("enqueuedAt")),
    Column("resolvedBy", at("resolvedBy")),
    Column("campaignId", at("campaignInfo.campaignId")),
    Column("engagementId", at("campaignInfo.engagementId")),
    Column("conversationContext", at("conversationContext")),
    Column("clientProperties", at("clientProperties")),
    Column("submissionId", at("submissionId")),
    Column("metadata", at("metadata")),
)


@click.command(
    epilog=examples(
        "overture results --follow --output results.jsonl", "overture results --peek --format table"
    )
)
@click.option("--follow", is_flag=True, help="Wait for more results until Ctrl-C or SIGTERM.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"Take at most this many.  [default: all; {MAX_PEEKED} with --peek]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "table"]),
    default="jsonl",
    show_default=True,
    help="One JSON object per line, CSV, or a table for reading.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append to this file.  [default: standard output]",
)
@click.option("--peek", is_flag=True, help="Show results without taking them off the queue.")
def command(*, follow: bool, limit: int | None, form: Form, output: Path | None, peek: bool) -> int:
    """Take results off the queue conversations.results.

    A result is acknowledged once it is written: for a file, once it is on disk; for a pipe, once
    its reader has taken it, so that `head -1` takes one. If this command is killed, unacknowledged
    results stay in the queue: a result can come twice, but none is lost. An existing file is
    appended to. On RabbitMQ, --peek has the messages in hand for a moment; then they return to the
    front of the queue, possibly in a different order.
    """
    if follow and peek:
        raise click.UsageError("--follow and --peek cannot be combined")
    settings = read_settings()
    stop = threading.Event()
    with open_servers(settings) as servers, closing(_open(output, stop)) as out:
        with servers.connect() as connection:
            servers.broker.declare_if_allowed(connection, [JOBS_QUEUE])
        rows = Rows(form, COLUMNS, width=None if output else width_of_terminal())
        if out.is_fresh and rows.header:
            out.write(rows.header)
            out.commit()
        if peek:
            return _complain(_peek(servers, rows, out, limit or MAX_PEEKED))
        drain = _Drain(rows, out, limit)
        if follow:
            _follow(servers, drain, stop)
        else:
            _take(servers, drain)
    return _complain(drain.unreadable, drain.not_taken)


class Sink(Protocol):
    """Where results go."""

    is_fresh: bool
    written: int

    def close(self) -> None:
        """Close it."""

    def write(self, line: str) -> None:
        """Write a line; `written` counts its bytes."""

    def commit(self) -> None:
        """Make everything that was written durable."""

    def finish(self) -> None:
        """Commit, at the end of the command."""

    def arrived(self) -> int:
        """Return how many of the written bytes have arrived."""


def _open(path: Path | None, stop: threading.Event) -> Sink:
    if path is None and sys.stdout is not None and is_pipe(sys.stdout.fileno()):
        return Pipe(sys.stdout.fileno(), stop=stop)
    return Output(path, append=True)


def _peek(servers: Servers, rows: Rows, out: Sink, limit: int) -> int:
    """Write the queue's results; returns how many messages were not results."""
    unreadable = 0
    with closing(servers.broker.look(RESULTS_QUEUE)) as seen:
        for message in islice(seen, limit):
            document = _read(message.body)
            if document is None:
                unreadable += 1
            else:
                out.write(rows.line(document))
    out.commit()
    return unreadable


@dataclass(slots=True)
class _Drain:
    """Takes results, writes them, and acknowledges those that have arrived."""

    rows: Rows
    out: Sink
    left: int | None
    unreadable: int = 0
    not_taken: int = 0
    # Written but not acknowledged, each with the number of bytes up to its end.
    owed: deque[tuple[int, Message]] = field(default_factory=deque)

    def take_from(self, taker: Taker, *, go_on: Callable[[bool], bool]) -> None:
        """Take until the limit, or until `go_on`, called with whether any came, returns False."""
        try:
            found = True
            while self.left != len(self.owed) and go_on(found):
                batch = self._batch(taker)
                self._write(batch)
                found = bool(batch)
            self.out.finish()
        finally:
            # Also after the reader has closed the pipe: it has what it read before.
            try:
                self._acknowledge()
            finally:
                self.not_taken = len(self.owed)
                self.owed.clear()

    def _batch(self, taker: Taker) -> list[Message]:
        most = 1 if isinstance(self.out, Pipe) else BATCH_MESSAGES
        most = most if self.left is None else min(self.left - len(self.owed), most)
        return list(islice(iter(taker.take, None), most))

    def _write(self, batch: list[Message]) -> None:
        for message in batch:
            document = _read(received(message).body)
            if document is None:
                self.unreadable += 1
                continue
            self.out.write(self.rows.line(document))
            self.owed.append((self.out.written, message))
        self.out.commit()
        self._acknowledge()

    def _acknowledge(self) -> None:
        arrived = self.out.arrived()
        while self.owed and self.owed[0][0] <= arrived:
            self.owed.popleft()[1].ack()
            if self.left is not None:
                self.left -= 1


def _take(servers: Servers, drain: _Drain) -> None:
    with servers.broker.taking(RESULTS_QUEUE) as taker:
        drain.take_from(taker, go_on=lambda found: found)


def _follow(servers: Servers, drain: _Drain, stop: threading.Event) -> None:
    """Take until a signal; reconnects to a broker that was away."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while drain.left != 0 and not stop.is_set():
        try:
            with servers.broker.taking(RESULTS_QUEUE) as taker:
                drain.take_from(
                    taker, go_on=lambda found: not stop.wait(0 if found else POLL_SECONDS)
                )
        except errors_of(servers.broker):
            complain(f"the broker is unavailable; trying again every {RETRY_SECONDS:.0f} s")
            stop.wait(RETRY_SECONDS)


def _read(body: bytes) -> Document | None:
    try:
        document = read_outcome(body)
    except MalformedJSON:
        return None
    return document if isinstance(document, dict) else None


def _complain(unreadable: int, not_taken: int = 0) -> int:
    if unreadable:
        complain(
            f"left in the queue: {counted(unreadable, 'message')} that cannot be read as a result"
        )
    if not_taken:
        complain(f"left in the queue: {counted(not_taken, 'result')} that nobody has read yet")
    return int(unreadable > 0 or not_taken > 0)
