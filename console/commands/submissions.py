"""`overture submissions`: a file or campaign as one thing, from its first job to its report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, Literal

import click

from config.settings import Settings
from console.admin.report import OUTCOMES, FileReport, JobReport, Row, only, summarized
from console.admin.report_page import TemplatesMissing, write_page
from console.admin.reporting import BYTE_ORDER_MARK, columns_of, open_report
from console.admin.steering import all_accounts, let_go
from console.admin.submissions import (
    View,
    cancel_submission,
    view,
    views,
)
from console.asking import demand_yes, yes_option
from console.help import Suggesting, examples
from console.jobfiles.job_file import UnreadableFile
from console.jobfiles.repeats import NotKept
from console.listing import (
    FORMS,
    AnyForm,
    as_json,
    format_option,
    output_option,
    write_array,
    write_list,
    write_text,
)
from console.operator import operator
from console.output import Output, Problem, complain, counted, printable, say
from console.params import LABEL, NAME
from console.servers import Servers, demand_account, open_servers, read_settings
from console.tables import FAILED, Column, Form, Rows, at, width_of_terminal
from tasks.store.brake import Scope, pause

COLUMNS: Final = (
    Column("submissionId", at("submissionId"), width=36),
    Column("state", at("state"), width=9),
    Column("total", at("total"), width=9),
    Column("waiting", at("waiting"), width=9),
    Column("created", at("created"), width=9),
    Column("reused", at("reused"), width=9),
    Column("failed", at("failed"), width=9),
    Column("begunAt", at("begunAt"), width=24),
    Column("rejected", at("rejected")),
    Column("rate", at("rate")),
    Column("sentAt", at("sentAt")),
    Column("file", at("file")),
    Column("outcomes", at("outcomes")),
)


@click.group(
    cls=Suggesting,
    epilog=examples("overture submissions report spring-1f3a9c2e --format csv --output report.csv"),
)
def command() -> None:
    """Follow, stop and report the jobs of a file or campaign as one thing.

    A submission is all jobs with one submissionId: overture submit gives each file one, and
    producers can set their own. Counts are kept as long as the ledger keeps the jobs
    (OVERTURE_DEDUPE_DAYS); those of a file say how many jobs it has, others how many workers have
    seen.
    """


@command.command(
    "list", epilog=examples("overture submissions list --format csv --output submissions.csv")
)
@format_option(*FORMS)
@output_option
def list_submissions(*, form: AnyForm, output: Path | None) -> None:
    """List the submissions, the latest first."""
    settings = read_settings()
    with open_servers(settings) as servers:
        found = [
            one.to_dict() for one in views(servers.store, all_accounts(servers.store, settings))
        ]
    write_list(found, COLUMNS, form=form, output=output)


@command.command(epilog=examples("overture submissions show spring-1f3a9c2e"))
@click.argument("submission", type=LABEL, metavar="ID")
@format_option("text", "json")
@output_option
def show(submission: str, *, form: Literal["text", "json"], output: Path | None) -> None:
    """Show how a submission stands: its jobs by outcome. ID is its submissionId."""
    settings = read_settings()
    with open_servers(settings) as servers:
        found = _found(servers, settings, submission)
    if form == "json":
        write_text(as_json(found.to_dict()), output)
    else:
        write_text("\n".join(map(printable, _describe(found))), output)


@command.command("pause", epilog=examples("overture submissions pause spring-1f3a9c2e"))
@click.argument("submission", type=LABEL, metavar="ID")
def hold(submission: str) -> None:
    """Send nothing more of a submission, until it is resumed. ID is its submissionId.

    Its jobs wait, also those that are enqueued later. The same as overture pause --submission ID.
    """
    settings = read_settings()
    with open_servers(settings) as servers:
        scope = Scope(submission_id=submission)
        found = pause(servers.store, scope, known=settings.accounts, by=operator())
    say(printable(f"{found.sentence()}: nothing more is sent"))


@command.command("resume", epilog=examples("overture submissions resume spring-1f3a9c2e"))
@click.argument("submission", type=LABEL, metavar="ID")
def release(submission: str) -> None:
    """Let a submission go on that was paused or cancelled. ID is its submissionId.

    Jobs that have ended as cancelled meanwhile are dead letters: overture dead-letters replay
    enqueues them again.
    """
    settings = read_settings()
    with open_servers(settings) as servers:
        goes_on = let_go(servers.store, settings, submission)
    if goes_on:
        say(printable(f"submission {submission} goes on"))
    else:
        say(printable(f"submission {submission} was neither paused nor cancelled"))


@command.command(epilog=examples("overture submissions cancel spring-1f3a9c2e"))
@click.argument("submission", type=LABEL, metavar="ID")
@yes_option
@click.option("--account", type=NAME, metavar="ID", help="Cancel its jobs of this account only.")
def cancel(submission: str, *, yes: bool, account: str | None) -> None:
    """Cancel what a submission has not sent yet. ID is its submissionId.

    Each of its jobs ends as a dead letter with the code cancelled when it comes up, wherever it
    waits: in the queue, for its time, for its next attempt. A request that was already sent is not
    undone. Jobs that are enqueued later end so as well, until overture submissions resume.
    """
    settings = read_settings()
    if account is not None:
        demand_account(settings, account)
    with open_servers(settings) as servers:
        accounts = all_accounts(servers.store, settings)
        found = view(servers.store, accounts, submission)
        everyone = {*accounts, *(found.about.accounts if found and found.about else ())}
        chosen = [account] if account is not None else sorted(everyone)
        if not chosen:
            raise Problem("no account is known; name the submission's with --account")
        waiting = counted(found.waiting, "job") if found else "the jobs"
        demand_yes(f"Cancel {waiting} of submission {submission}?", sure=yes)
        cancel_submission(servers.store, chosen, submission)
    if found is None:
        say(f"submission {submission}: no job of it is known yet; those that come are cancelled")
    else:
        waits = "have no outcome yet; each is cancelled when it comes up"
        waits = waits.replace("have", "has", 1) if found.waiting == 1 else waits
        say(f"submission {submission}: {waiting} {waits}")


@command.command(
    epilog=examples(
        "overture submissions report spring-1f3a9c2e --format csv --output report.csv",
        "overture submissions report spring-1f3a9c2e --only failed",
    )
)
@click.argument("submission", type=LABEL, metavar="ID")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl", "csv", "html"]),
    default="table",
    show_default=True,
    help="CSV that spreadsheets open, JSON, or a page with a chart.",
)
@output_option
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False),
    help="The file as it was submitted.  [default: where it was then]",
)
@click.option(
    "--only",
    "outcomes",
    type=NAME,
    multiple=True,
    metavar="OUTCOME",
    help=f"Only rows that came to this: {', '.join(OUTCOMES)}, or an error code. Repeatable.",
)
def report(
    submission: str,
    *,
    form: Form | Literal["json", "html"],
    output: Path | None,
    file: str | None,
    outcomes: tuple[str, ...],
) -> None:
    """Report what became of a submission, row by row. ID is its submissionId.

    Each row of the file comes once, with its columns and its outcome, the conversation's id or the
    reason. Where the file is not at hand, the report has only the jobs that have ended.
    A page of HTML has the counts, the reasons and the first rows that need attention.
    """
    settings = read_settings()
    with ExitStack() as stack:
        servers = stack.enter_context(open_servers(settings))
        found = _found(servers, settings, submission)
        reporting = open_report(servers, settings, found, file, stack, warn=complain)
        rows = only(reporting.rows(), outcomes)
        try:
            with closing(Output(output, append=False)) as out:
                width = None if output else width_of_terminal()
                if form == "html":
                    is_file = isinstance(reporting, FileReport)
                    out.write(write_page(found, summarized(rows), from_file=is_file))
                else:
                    _write(out, form, reporting, rows, width)
                out.commit()
        except (UnreadableFile, NotKept, TemplatesMissing) as error:
            raise Problem(str(error)) from None


def _write(
    out: Output,
    form: Form | Literal["json"],
    reporting: FileReport | JobReport,
    rows: Iterable[Row],
    width: int | None,
) -> None:
    if form == "json":
        write_array(out, (row.to_dict() for row in rows))
        return
    columns = columns_of(reporting) if form == "csv" else TABLE
    shown = Rows(form, columns, delimiter=reporting.delimiter, width=width)
    if shown.header:
        out.write(f"{BYTE_ORDER_MARK if form == 'csv' else ''}{shown.header}")
    for row in rows:
        out.write(shown.line(row.to_dict()))


TABLE: Final = (
    Column("line", at("line"), width=7),
    Column("jobId", at("jobId"), width=36),
    Column("outcome", at("outcome"), width=8),
    Column("code", at("code"), width=17),
    Column("conversationId", at("conversationId"), width=36),
    Column("reason", at("reason"), width=40, prose=True),
)


def _found(servers: Servers, settings: Settings, submission: str) -> View:
    found = view(servers.store, all_accounts(servers.store, settings), submission)
    if found is None:
        raise Problem(
            f"submission {submission} is unknown: no worker has seen a job of it yet, or it ended "
            "long ago; overture submissions list has those that are known"
        )
    return found


def _describe(found: View) -> Iterator[str]:
    yield f"submission {found.submission_id}: {found.state}"
    if found.paused:
        yield f"  {found.paused}"
    if found.begun_at:
        yield f"  begun     {found.to_dict()['begunAt']}"
    if found.about and found.about.file:
        yield f"  file      {found.about.file}"
    if found.rate is not None:
        yield f"  pace      {found.rate:g} a second"
    yield f"  jobs      {found.total}"
    for name, count in sorted(found.outcomes.items()):
        words = name.replace(FAILED, "failed as ")
        yield f"  {words:<9} {count}"
    if found.waiting:
        yield f"  waiting   {found.waiting}"
    if found.about and found.about.rejected:
        yield f"  rejected  {counted(found.about.rejected, 'entry').replace('entrys', 'entries')}"
