"""`overture results`: takes results off the queue, acknowledging each once it is written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import click
from kombu import Message

from config.queues import JOBS_QUEUE, RESULTS_QUEUE
from worker.cli.output import Output
from worker.cli.problem import complain
from worker.cli.reach import Reach, errors_of, reach, read_settings
from worker.cli.rows import Column, Document, Form, Rows, at
from worker.cli.words import counted
from worker.messages.json_text import MalformedJSON, loads_strict
from worker.messaging import broker
from worker.messaging.broker import body_of
from worker.operator.looking import look
from worker.operator.taking import Taker, taking

# So many are written before they are brought to disk and acknowledged together.
BATCH_MESSAGES: Final = 200
# How often an empty queue is looked at again, in seconds.
LOOK_SECONDS: Final = 0.2
# When to try a broker again that is away, in seconds.
RETRY_SECONDS: Final = 2.0

COLUMNS: Final = (
    Column("jobId", at("jobId"), width=36),
    Column("accountId", at("accountId"), width=10),
    Column("consumerId", at("consumerId"), width=24),
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
    Column("clientProperties", at("clientProperties")),
    Column("metadata", at("metadata")),
)


@click.command()
@click.option("--follow", is_flag=True, help="Wait for more results until Ctrl-C or SIGTERM.")
@click.option("--limit", type=click.IntRange(min=1), help="Take at most this many.")
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
    with reach(settings) as within, closing(Output(output, append=True)) as out:
        with within.connect() as connection:
            broker.declare_if_allowed(connection, [JOBS_QUEUE])
        rows = Rows(form, COLUMNS)
        if out.is_fresh and rows.header:
            out.write(rows.header)
            out.commit()
        if peek:
            return _complain(_peek(within, rows, out, limit))
        drain = _Drain(rows, out, limit)
        (_follow if follow else _take)(within, drain)
        out.commit()
    return _complain(drain.unreadable)


def _peek(within: Reach, rows: Rows, out: Output, limit: int | None) -> int:
    """Write what is in the queue; returns how many messages were no results."""
    unreadable = 0
    with closing(look(within.broker_url, RESULTS_QUEUE, limit=limit)) as seen:
        for message in seen:
            document = _read(message.body)
            if document is None:
                unreadable += 1
            else:
                out.write(rows.line(document))
    out.commit()
    return unreadable


@dataclass(slots=True)
class _Drain:
    """Takes results, writes them, and then acknowledges them."""

    rows: Rows
    out: Output
    left: int | None
    unreadable: int = 0

    def take_from(self, taker: Taker, *, go_on: Callable[[bool], bool]) -> None:
        """Take until the limit is reached, or `go_on`, told whether any were there, says no."""
        while self.left != 0:
            batch = self._batch(taker)
            self._write(batch)
            if not go_on(bool(batch)):
                return

    def _batch(self, taker: Taker) -> list[Message]:
        # The reader of a pipe may have enough after any line: what it never sees has to stay.
        most = 1 if self.out.is_pipe else BATCH_MESSAGES
        if self.left is not None:
            most = min(self.left, most)
        return list(islice(iter(taker.take, None), most))

    def _write(self, batch: list[Message]) -> None:
        written = []
        for message in batch:
            document = _read(body_of(message))
            if document is not None:
                self.out.write(self.rows.line(document))
                written.append(message)
        self.out.commit()
        for message in written:
            message.ack()
        self.unreadable += len(batch) - len(written)
        if self.left is not None:
            self.left -= len(written)


def _take(within: Reach, drain: _Drain) -> None:
    with taking(within.broker_url, RESULTS_QUEUE) as taker:
        drain.take_from(taker, go_on=lambda found: found)


def _follow(within: Reach, drain: _Drain) -> None:
    """Take until a signal comes, also from a broker that goes away and comes back."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while drain.left != 0 and not stop.is_set():
        try:
            with taking(within.broker_url, RESULTS_QUEUE) as taker:
                drain.take_from(
                    taker, go_on=lambda found: not stop.wait(0 if found else LOOK_SECONDS)
                )
        except errors_of(within.broker_url):
            complain(f"the broker is unavailable; trying again every {RETRY_SECONDS:.0f} s")
            stop.wait(RETRY_SECONDS)


def _read(body: bytes) -> Document | None:
    try:
        document = loads_strict(body, max_bytes=len(body))
    except MalformedJSON:
        return None
    return document if isinstance(document, dict) else None


def _complain(unreadable: int) -> int:
    if unreadable:
        complain(
            f"left in the queue: {counted(unreadable, 'message')} that cannot be read as a result"
        )
    return int(unreadable > 0)
