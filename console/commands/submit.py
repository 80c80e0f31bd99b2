"""`overture submit`: puts the jobs in a file on the queue."""

from __future__ import annotations

import math
import re
import secrets
import shlex
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Final

import click

from config.names import JOBS_QUEUE
from console.admin.submitting import Run
from console.admin.wait import ALREADY, NotKept, Submitted, wait_for_outcomes
from console.help import examples
from console.jobfiles import repeats
from console.jobfiles.job_file import Format, UnreadableFile
from console.jobfiles.naming import AS_NAMED, InvalidNaming, Naming, known_zone, read_naming
from console.jobfiles.rejects import Rejects
from console.jobfiles.source import STANDARD_INPUT, FileOptions, Source, open_source
from console.output import Interrupted, Problem, complain, counted, progress, say
from console.params import LABEL, NAME, JobsQueue, Number
from console.servers import Servers, demand_account, demand_queue, open_servers, read_settings
from tasks.store.pulse import workers_seen

# How many hexadecimal digits of a file's digest are in its submission's name.
DIGEST_DIGITS: Final = 8
# How many characters of the file's own name.
STEM_CHARACTERS: Final = 80
_ENDINGS: Final = re.compile(r"(\.(csv|tsv|txt|jsonl?|ndjson|xlsx|gz))+$", re.IGNORECASE)
_ODD: Final = re.compile(r"[^\w.-]+")


@click.command(
    epilog=examples("overture submit jobs.csv --dry-run", "overture submit jobs.csv --wait")
)
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), required=False
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "json", "csv", "xlsx"]),
    help="JSON Lines, a JSON array, CSV or Excel.  [default: detected from name and content]",
)
@click.option("--sheet", metavar="NAME", help="The workbook's sheet.  [default: the first]")
@click.option(
    "--map",
    "mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file that says which field each column of a table holds.",
)
@click.option(
    "--zone",
    metavar="ZONE",
    help="The time zone of dates without an offset, such as Europe/Berlin.",
)
@click.option("--template", is_flag=True, help="Print a first row for a CSV file, and end.")
@click.option("--dry-run", is_flag=True, help="Check every job but send none; needs no broker.")
@click.option("--all-or-nothing", is_flag=True, help="Send nothing if any job is rejected.")
@click.option(
    "--wait",
    is_flag=True,
    help="Wait until every job has its outcome, and count the outcomes; "
    "that of a job whose account no worker knows is never seen.",
)
@click.option(
    "--timeout",
    type=Number(min=0),
    default=math.inf,
    help="Longest wait in seconds, once all jobs are sent.  [default: no limit]",
)
@click.option(
    "--consumer-id-from",
    metavar="PATH",
    help="Where the consumerId of jobs without one is, as in profile.userId.",
)
@click.option("--account", type=NAME, metavar="ID", help="The account for jobs that name none.")
@click.option(
    "--name",
    "label",
    type=LABEL,
    help="The submission's name (submissionId).  [default: made of the file's name and content]",
)
@click.option(
    "--rate",
    type=Number(min=0, min_open=True),
    help="Open at most so many conversations a second for this submission, in each account.",
)
@click.option(
    "--queue",
    type=JobsQueue(),
    default=JOBS_QUEUE,
    show_default=True,
    help=f"The jobs queue; {JOBS_QUEUE}.<accountId> holds the jobs of one account only.",
)
@click.option(
    "--skip",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Start after line N, as an interrupted submission from a pipe tells you to.",
)
@click.option(
    "--rejected",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for rejected lines.  [default: FILE.rejected.jsonl]",
)
def command(
    file: str | None,
    form: Format | None,
    *,
    sheet: str | None,
    mapping: Path | None,
    zone: str | None,
    template: bool,
    dry_run: bool,
    all_or_nothing: bool,
    wait: bool,
    timeout: float,
    account: str | None,
    consumer_id_from: str | None,
    label: str | None,
    rate: float | None,
    queue: str,
    skip: int,
    rejected: Path | None,
) -> int:
    """Put the jobs in FILE on the queue. Use - for standard input.

    FILE contains one JSON job per line, a JSON array of jobs, or CSV, packed with gzip or not, or
    is an Excel workbook (.xlsx). It is read as a stream, so it can be of any size. Lines that are
    not valid jobs are reported, counted, and written with the reason to FILE.rejected.jsonl, those
    of a table to FILE.rejected.csv as well, to be corrected; all other jobs are still sent.

    CSV columns are named by the dotted path of a field: consumerId, profile.firstName,
    conversation.skillId, profile.authenticatedData.lp_sdes.0.info.balance. Text is taken as it is,
    fields documented as numbers become numbers, lists of texts are separated by |, and any other
    list or object is JSON. An empty cell omits the field. The separator is a comma, a semicolon or
    a tab, or what Excel's first line sep=; says. Text is UTF-8 or UTF-16. --template prints a first
    row to begin with; --map takes other names of columns. Any other kind of file is refused with
    what to do.

    LivePerson's own form, an array of the two items, is a job as well: with its consumerId beside
    it, as in {"consumerId": "…", "batch": […]}, or taken from within it by --consumer-id-from.

    A job without a jobId gets a UUID derived from its content. You can therefore submit the same
    file again: a job is not sent again while the ledger keeps its outcome (OVERTURE_DEDUPE_DAYS),
    but counted as already done. After Ctrl-C or an outage, submitting the file again goes on where
    it stood. To have identical jobs each done, give each its own jobId.

    The jobs of a file share a submissionId, by which overture submissions counts, pauses, cancels
    and reports them; a job with one of its own keeps that.
    """
    naming = _naming(mapping, zone)
    if template:
        say(",".join(_template(naming)))
        return 0
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    settings = read_settings()
    if account is not None:
        demand_account(settings, account)
    demand_queue(settings, queue)
    name = "stdin" if file == STANDARD_INPUT else file
    path = rejected or Path(f"{name}.rejected.jsonl")
    how = FileOptions(form=form, naming=naming, sheet=sheet, twice=all_or_nothing or bool(label))
    with ExitStack() as stack:
        source = _open(file, how, stack)
        rejects = stack.enter_context(closing(Rejects(path, source, append=skip > 0)))
        if any(map(source.is_at, rejects.paths)):
            raise Problem(f"{path} is the input file; name another file with --rejected")
        options = {
            "format": source.form,
            "account": account,
            "consumerIdFrom": consumer_id_from,
            **how.to_dict(),
        }
        content = source.fingerprint(options)
        run = Run(
            source=source,
            settings=settings,
            submission_id=label or _label(name, content),
            content=content,
            options=options,
            account_id=account,
            consumer_id_from=consumer_id_from,
            rate=rate,
            skip=skip,
            rejects=rejects,
        )
        try:
            if dry_run:
                return _try_out(run)
            if all_or_nothing:
                run.check_all()
                if run.complain():
                    raise Problem("nothing was submitted")
                run.begin_anew()
            return _submit(run, queue=queue, wait=wait, timeout=timeout)
        except repeats.NotKept as error:
            raise Problem(str(error)) from None


def _open(file: str, how: FileOptions, stack: ExitStack) -> Source:
    """Open the file, until the stack is closed."""
    try:
        source = stack.enter_context(open_source(file, how))
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}") from None
    except UnreadableFile as error:
        raise Problem(f"{'stdin' if file == STANDARD_INPUT else file} {error}") from None
    if how.naming != AS_NAMED and not source.is_table:
        raise Problem("--map and --zone are for the columns of a table, and this file is JSON")
    if how.sheet is not None and source.form != "xlsx":
        raise Problem("--sheet is for workbooks, and this file is none")
    return source


def _try_out(run: Run) -> int:
    run.check_all()
    say(f"{counted(run.tally.accepted, 'valid job')}; none was submitted")
    run.advise()
    return int(run.complain())


# The usual columns; the contract lists all fields.
TEMPLATE: Final = (
    *("jobId", "consumerId", "profile.firstName", "profile.lastName"),
    *("conversation.campaignInfo.campaignId", "conversation.campaignInfo.engagementId"),
    *("conversation.skillId", "notBefore", "expiresAt", "priority", "metadata"),
)


def _template(naming: Naming) -> list[str]:
    """Return the columns of a new file; with a mapping, those that it names."""
    return list(naming.columns) or [name for name in TEMPLATE if name not in naming.defaults]


def _naming(mapping: Path | None, zone: str | None) -> Naming:
    try:
        naming = read_naming(mapping) if mapping is not None else AS_NAMED
        return replace(naming, zone=known_zone(zone)) if zone is not None else naming
    except InvalidNaming as error:
        raise Problem(str(error)) from None


def _label(name: str, content: str) -> str:
    """Return a submission's name for a file; for a pipe, one made of the time."""
    if not content:
        now = datetime.now(UTC)
        return f"stdin-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    stem = _ODD.sub("-", _ENDINGS.sub("", PurePath(name).name))[:STEM_CHARACTERS]
    return f"{stem}-{content[:DIGEST_DIGITS]}"


def _submit(run: Run, *, queue: str, wait: bool, timeout: float) -> int:
    is_sent = False
    try:
        with ExitStack() as stack:
            servers = stack.enter_context(open_servers(run.settings))
            submitted = stack.enter_context(closing(Submitted())) if wait else None
            run.send_all(servers, queue, submitted)
            is_sent = True
            say(f"submitted {counted(run.tally.confirmed, 'job')} to {queue}")
            _say_what_was_not_sent(run, wait=wait)
            if run.tally.got_ids:
                without = counted(run.tally.got_ids, "job")
                say(f"{without} had no jobId and got one derived from the content")
            name = run.submission_id
            say(f"submission {name}; overture submissions show {shlex.quote(name)} follows it")
            failed = run.complain()
            if submitted is not None:
                failed |= _wait(servers, submitted, timeout)
            return int(failed)
    except (Problem, NotKept, repeats.NotKept) as error:
        sentences = error.sentences if isinstance(error, Problem) else (str(error),)
        more = () if is_sent else (run.how_to_go_on(),)
        raise Problem(*sentences, *more) from None
    except KeyboardInterrupt:
        said = "the jobs are submitted; the workers continue"
        raise Interrupted(said if is_sent else run.how_to_go_on()) from None


def _say_what_was_not_sent(run: Run, *, wait: bool) -> None:
    if run.tally.earlier:
        earlier = counted(run.tally.earlier, "job")
        say(f"{earlier} sent by an earlier run that broke off, and not again")
    if run.tally.before and not wait:
        say(_counted(Counter({f"{ALREADY}{name}": n for name, n in run.tally.before.items()})))
    if run.tally.repeated:
        verb = "repeats" if run.tally.repeated == 1 else "repeat"
        repeated = counted(run.tally.repeated, run.source.unit)
        say(f"{repeated} {verb} a job of the file, which goes once")


def _wait(servers: Servers, submitted: Submitted, timeout: float) -> bool:
    """Wait for the outcomes and count them; True if a job failed, or has none yet."""
    if not workers_seen(servers.store):
        complain("no worker is running; start one with: overture worker")
    deadline = time.monotonic() + timeout
    with progress("waiting", total=submitted.count) as report:
        outcomes = wait_for_outcomes(servers.store, submitted, until=deadline, progress=report)
    say(_counted(outcomes))
    if outcomes["waiting"]:
        waiting = counted(outcomes["waiting"], "job")
        complain(f"no outcome yet for {waiting}; the workers continue")
    return any(name == "waiting" or "failed:" in name for name in outcomes)


def _counted(outcomes: Counter[str]) -> str:
    """Return a text such as `already done 3, created 20, failed as expired 1`."""
    new = {name: count for name, count in outcomes.items() if not name.startswith(ALREADY)}
    parts = [f"{_in_words(name)} {count}" for name, count in new.items()]
    done = {name: count for name, count in outcomes.items() if name.startswith(ALREADY)}
    if done:
        failed = [f"{_in_words(name)} {done[name]}" for name in sorted(done) if "failed:" in name]
        among = f" (among them {', '.join(failed)})" if failed else ""
        parts.append(f"already done {sum(done.values())}{among}")
    return ", ".join(sorted(parts)) or "no jobs to wait for"


def _in_words(name: str) -> str:
    return name.removeprefix(ALREADY).replace("failed:", "failed as ")
