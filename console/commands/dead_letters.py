"""`overture dead-letters`: lists, exports and replays the jobs that got no conversation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import click

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE
from console.admin.dead_letters import Dead, read_dead
from console.admin.look import look
from console.commands.replay import replay
from console.output import Output
from console.params import NAME
from console.plain import escaped
from console.problem import Problem, say
from console.rows import Column, Form, Rows, at
from console.servers import reach, read_settings
from worker.broker import broker

COLUMNS: Final = (
    Column("jobId", lambda letter: letter["id"], width=36),
    Column("accountId", at("job.accountId"), width=10),
    Column("code", at("error.code"), width=17),
    Column("failedAt", at("failedAt"), width=24),
    Column("attempts", lambda letter: len(letter["error"].get("attempts") or ()), width=8),
    Column("message", at("error.message"), width=40),
    Column("httpStatus", at("error.httpStatus")),
    Column("errorCode", at("error.errorCode")),
    Column("consumerId", at("job.consumerId")),
    Column("job", at("job")),
    Column("raw", at("raw")),
)
code_option = click.option(
    "--code", type=NAME, help="Only those with this error code, such as in_doubt."
)


@click.group()
def command() -> None:
    """Inspect and replay the jobs that got no conversation.

    Only replay takes anything off the queue. RabbitMQ cannot show a queue without taking its
    messages: they are in hand for a moment, then return to the front of the queue, possibly
    in a different order.
    """


@command.command("list")
@code_option
@click.option("--limit", type=click.IntRange(min=1), help="List at most this many.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "jsonl", "csv"]),
    default="table",
    show_default=True,
)
def list_letters(*, code: str | None, limit: int | None, form: Form) -> None:
    """List the dead letters, one per line."""
    _write(form, None, code=code, limit=limit)


@command.command()
@code_option
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, replacing it.  [default: standard output]",
)
def export(*, code: str | None, form: Form, output: Path | None) -> None:
    """Export the dead letters in full."""
    _write(form, output, code=code, limit=None)


@command.command()
@click.argument("job", type=NAME)
def show(job: str) -> None:
    """Show a job's dead letters in full. JOB is its id."""
    with _letters() as letters:
        found = [letter for letter in letters if letter.job_id == job]
    if not found:
        raise Problem(f"there is no dead letter for job {job}")
    for letter in found:
        say(escaped(json.dumps(letter.document, indent=2, ensure_ascii=False)))


def _write(form: Form, output: Path | None, *, code: str | None, limit: int | None) -> None:
    rows = Rows(form, COLUMNS)
    left = limit
    with _letters() as letters, closing(Output(output, append=False)) as out:
        if rows.header:
            out.write(rows.header)
        for letter in letters:
            if code is not None and letter.code != code:
                continue
            out.write(rows.line(_row(letter, form)))
            left = None if left is None else left - 1
            if left == 0:
                break
        out.commit()


def _row(letter: Dead, form: Form) -> dict[str, Any]:
    return dict(letter.document) if form == "jsonl" else {**letter.document, "id": letter.job_id}


@contextmanager
def _letters() -> Iterator[Iterator[Dead]]:
    settings = read_settings()
    with reach(settings) as within:
        with within.connect() as connection:
            broker.declare_if_allowed(connection, [JOBS_QUEUE])
        with closing(look(within.broker_url, DEAD_LETTERS_QUEUE)) as seen:
            yield (read_dead(one.body, one.headers) for one in seen)


command.add_command(replay)
