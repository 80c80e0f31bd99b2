"""`overture dead-letters`: lists, exports and replays the jobs that got no conversation."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE
from config.settings import Settings
from console.admin.dead_letters import Dead, read_dead
from console.admin.replay import Replayer
from console.output import Output, Problem, complain, counted, escaped, printable, say
from console.params import NAME, JobsQueue
from console.servers import Reach, reach, read_settings
from console.tables import Column, Form, Rows, at
from worker.broker.message import received

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
            within.broker.declare_if_allowed(connection, [JOBS_QUEUE])
        with closing(within.broker.look(DEAD_LETTERS_QUEUE)) as seen:
            yield (read_dead(one.body, one.headers) for one in seen)


# What is not replayed is in hand until the end; more of it than this is not passed over.
MOST_HELD: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters are to be replayed."""

    jobs: Collection[str]
    code: str | None
    sure: bool

    def takes(self, letter: Dead) -> bool:
        """Tell whether a letter is meant; all are where nothing is named."""
        return (not self.jobs or letter.job_id in self.jobs) and self.code in {None, letter.code}

    def is_sure(self, letter: Dead) -> bool:
        """Ask before a job is repeated that may have opened a conversation."""
        if self.sure or letter.code != "in_doubt":
            return True
        job = printable(letter.job_id)
        question = f"job {job} is in doubt: it may already have a conversation. Replay it?"
        return sys.stdin.isatty() and click.confirm(question, default=False, err=True)


@dataclass(slots=True, kw_only=True)
class Count:
    """What a run has come to."""

    replayed: int = 0
    held: int = 0
    in_doubt: int = 0
    unreadable: int = 0
    missing: set[str] = field(default_factory=set)
    is_cut_short: bool = False


@click.command()
@click.argument("jobs", nargs=-1, type=NAME, metavar="[JOB]...")
@click.option("--code", type=NAME, help="Replay the dead letters with this error code.")
@click.option("--all", "everything", is_flag=True, help="Replay all dead letters.")
@click.option("--yes", is_flag=True, help="Replay in_doubt jobs without asking.")
@click.option(
    "--queue",
    type=JobsQueue(),
    default=JOBS_QUEUE,
    show_default=True,
    help="The jobs queue to put the jobs on.",
)
def replay(
    jobs: tuple[str, ...], *, code: str | None, everything: bool, yes: bool, queue: str
) -> int:
    """Enqueue the jobs of dead letters again. JOB is a job's id.

    A dead letter is removed once its job is enqueued. The ledger still knows what was sent for the
    job, so a conversation that an earlier attempt opened is found, not opened twice. An in_doubt
    job is replayed only if you confirm it. A message that is not a job cannot be replayed.
    """
    if bool(jobs) + bool(code) + everything != 1:
        raise click.UsageError("name jobs, or give --code or --all")
    settings = read_settings()
    choice = Choice(jobs=frozenset(jobs), code=code, sure=yes)
    with reach(settings) as within:
        count = _replay(within, settings, choice, queue)
    return _report(count)


def _replay(within: Reach, settings: Settings, choice: Choice, queue: str) -> Count:
    count = Count(missing=set(choice.jobs))
    with ExitStack() as stack:
        connection = stack.enter_context(within.connect())
        within.broker.declare_if_allowed(connection, [queue])
        taker = stack.enter_context(within.broker.taking(DEAD_LETTERS_QUEUE))
        producer = within.broker.producer(connection)
        replayer = Replayer(producer, store=within.store, settings=settings, queue=queue)
        # What fails anew meanwhile comes back behind these, and is left for another time.
        for _ in range(taker.ready()):
            if count.held == MOST_HELD:
                count.is_cut_short = True
                break
            if (message := taker.take()) is None:
                break
            read = received(message)
            letter = read_dead(read.body, read.headers)
            count.missing.discard(letter.job_id)
            if _may_go(letter, choice, count):
                replayer.add(message, letter)
                count.replayed += 1
            else:
                count.held += 1
        replayer.flush()
    return count


def _may_go(letter: Dead, choice: Choice, count: Count) -> bool:
    """Tell whether a letter is to be replayed; what is meant and cannot be is counted."""
    if not choice.takes(letter):
        return False
    if letter.job is None:
        count.unreadable += 1
        return False
    if not choice.is_sure(letter):
        count.in_doubt += 1
        return False
    return True


def _report(count: Count) -> int:
    say(f"replayed {counted(count.replayed, 'dead letter')}")
    for job_id in sorted(count.missing):
        complain(f"there is no dead letter for job {job_id}")
    if count.unreadable:
        verb = "is not a job" if count.unreadable == 1 else "are not jobs"
        complain(f"{counted(count.unreadable, 'message')} {verb} and cannot be replayed")
    if count.in_doubt:
        verb, them = ("was", "it") if count.in_doubt == 1 else ("were", "them")
        jobs = counted(count.in_doubt, "job")
        complain(f"{jobs} in doubt {verb} not replayed; --yes replays {them}")
    if count.is_cut_short:
        complain(f"stopped after {MOST_HELD} dead letters that stay in the queue")
    return int(bool(count.missing or count.unreadable or count.in_doubt or count.is_cut_short))


command.add_command(replay)
