"""`overture dead-letters`: lists, exports, replays and discards what got no conversation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from config.names import JOBS_QUEUE
from console.admin.chosen import (
    Choice,
    Count,
    discard_chosen,
    letters_at,
    replay_chosen,
)
from console.admin.dead_letters import Dead
from console.admin.discard import Discarder
from console.asking import demand_yes, is_anybody_there, yes_option
from console.help import Suggesting, examples
from console.listing import (
    FORMS,
    AnyForm,
    as_json,
    format_option,
    output_option,
    write_list,
    write_text,
)
from console.output import Output, Problem, complain, counted, printable, say
from console.params import NAME, JobsQueue
from console.servers import open_servers, read_settings
from console.tables import Column, at
from tasks.messages.dead_letter import ERROR_CODES

COLUMNS: Final = (
    Column("jobId", lambda letter: letter["id"], width=36),
    Column("accountId", at("job.accountId"), width=10),
    Column("code", at("error.code"), width=17),
    Column("failedAt", at("failedAt"), width=24),
    Column("attempts", lambda letter: len(letter["error"].get("attempts") or ()), width=8),
    Column("message", at("error.message"), width=40, prose=True),
    Column("httpStatus", at("error.httpStatus")),
    Column("errorCode", at("error.errorCode")),
    Column("consumerId", at("job.consumerId")),
    Column("job", at("job")),
    Column("raw", at("raw")),
)
chosen_code_option = click.option(
    "--code",
    type=click.Choice(ERROR_CODES),
    metavar="CODE",
    help="All dead letters with this error code.",
)
all_option = click.option("--all", "everything", is_flag=True, help="All dead letters.")
code_option = click.option(
    "--code",
    type=click.Choice(ERROR_CODES),
    metavar="CODE",
    help="Only those with this error code, such as in_doubt.",
)


@click.group(cls=Suggesting, epilog=examples("overture dead-letters list --code in_doubt"))
def command() -> None:
    """Inspect, replay and discard the jobs that got no conversation.

    Only replay and discard take anything off the queue. RabbitMQ cannot show a queue without taking
    its messages: they are in hand for a moment, then return to the front of the queue, possibly in
    a different order.
    """


@command.command(
    "list",
    epilog=examples(
        "overture dead-letters list", "overture dead-letters list --code rejected --format json"
    ),
)
@code_option
@click.option("--limit", type=click.IntRange(min=1), help="List at most this many.")
@format_option(*FORMS)
@output_option
def list_letters(
    *, code: str | None, limit: int | None, form: AnyForm, output: Path | None
) -> None:
    """List the dead letters."""
    _write(form, output, code=code, limit=limit)


@command.command(
    epilog=examples("overture dead-letters export --format csv --output dead-letters.csv")
)
@code_option
@format_option("jsonl", "json", "csv")
@output_option
def export(*, code: str | None, form: AnyForm, output: Path | None) -> None:
    """Export the dead letters in full."""
    _write(form, output, code=code, limit=None)


@command.command(epilog=examples("overture dead-letters show order-1001"))
@click.argument("job", type=NAME)
@output_option
def show(job: str, *, output: Path | None) -> None:
    """Show a job's dead letters in full. JOB is its id."""
    with _letters() as letters:
        found = [letter for letter in letters if letter.job_id == job]
    if not found:
        raise Problem(f"there is no dead letter for job {job}")
    write_text("\n".join(as_json(letter.document) for letter in found), output)


def _write(form: AnyForm, output: Path | None, *, code: str | None, limit: int | None) -> None:
    with _letters() as letters:
        chosen = (letter for letter in letters if code in {None, letter.code})
        rows = (_row(letter, form) for letter in islice(chosen, limit))
        write_list(rows, COLUMNS, form=form, output=output)


def _row(letter: Dead, form: AnyForm) -> dict[str, Any]:
    is_whole = form in {"json", "jsonl"}
    return {**letter.document} if is_whole else {**letter.document, "id": letter.job_id}


@contextmanager
def _letters() -> Iterator[Iterator[Dead]]:
    with open_servers(read_settings()) as servers, letters_at(servers) as letters:
        yield letters


def _sure(*, yes: bool) -> Callable[[Dead], bool]:
    """Ask before a job is repeated that may have opened a conversation."""

    def ask(letter: Dead) -> bool:
        if yes:
            return True
        job = printable(letter.job_id)
        question = f"job {job} is in doubt: it may already have a conversation. Replay it?"
        return is_anybody_there() and click.confirm(question, default=False, err=True)

    return ask


@click.command(
    epilog=examples(
        "overture dead-letters replay order-1001",
        "overture dead-letters replay --code retries_exhausted",
    )
)
@click.argument("jobs", nargs=-1, type=NAME, metavar="[JOB]...")
@chosen_code_option
@all_option
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
    _demand_choice(jobs, code, everything=everything)
    settings = read_settings()
    choice = Choice(jobs=frozenset(jobs), code=code, is_sure=_sure(yes=yes))
    with open_servers(settings) as servers:
        count = replay_chosen(servers, settings, choice, queue)
    return _report(count)


def _report(count: Count) -> int:
    say(f"replayed {counted(count.done, 'dead letter')}")
    _complain_of_missing(count)
    if count.unreadable:
        verb = "is not a job" if count.unreadable == 1 else "are not jobs"
        complain(f"{counted(count.unreadable, 'message')} {verb} and cannot be replayed")
    if count.in_doubt:
        verb, them = ("was", "it") if count.in_doubt == 1 else ("were", "them")
        jobs = counted(count.in_doubt, "job")
        complain(f"{jobs} in doubt {verb} not replayed; --yes replays {them}")
    if count.is_cut_short:
        complain(f"stopped after {count.held} dead letters that stay in the queue")
    return int(bool(count.missing or count.unreadable or count.in_doubt or count.is_cut_short))


@click.command(
    epilog=examples(
        "overture dead-letters discard order-1001",
        "overture dead-letters discard --code expired --yes --output expired.jsonl",
    )
)
@click.argument("jobs", nargs=-1, type=NAME, metavar="[JOB]...")
@chosen_code_option
@all_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("discarded-dead-letters.jsonl"),
    show_default=True,
    help="Append what is discarded to this file.",
)
@yes_option
def discard(
    jobs: tuple[str, ...], *, code: str | None, everything: bool, output: Path, yes: bool
) -> int:
    """Take dead letters off the queue for good. JOB is a job's id.

    Each one is written to a file first, as JSON Lines, and is gone from the queue once it is on
    disk. The ledger still knows that its job has failed, so the job is not done if it is enqueued
    again with the same jobId.
    """
    _demand_choice(jobs, code, everything=everything)
    choice = Choice(jobs=frozenset(jobs), code=code)
    with _letters() as letters:
        found = sum(choice.takes(letter) for letter in letters)
    count = Count(missing=set(choice.jobs))
    if found:
        what = counted(found, "dead letter")
        demand_yes(f"Discard {what} for good, after writing to {output}?", sure=yes)
        with open_servers(read_settings()) as servers, closing(Output(output, append=True)) as out:
            count = discard_chosen(servers, choice, Discarder(out))
        say(f"discarded {counted(count.done, 'dead letter')}, written to {output}")
    else:
        say("there is nothing to discard")
    _complain_of_missing(count)
    if count.is_cut_short:
        complain(f"stopped after {count.held} dead letters that stay in the queue")
    return int(bool(count.missing or count.is_cut_short))


def _complain_of_missing(count: Count) -> None:
    for job_id in sorted(count.missing):
        complain(f"there is no dead letter for job {job_id}")


def _demand_choice(jobs: Collection[str], code: str | None, *, everything: bool) -> None:
    if bool(jobs) + bool(code) + everything != 1:
        raise click.UsageError("name jobs, or give --code or --all")


command.add_command(replay)
command.add_command(discard)
