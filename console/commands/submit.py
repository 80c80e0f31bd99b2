"""`overture submit`: puts the jobs in a file on the queue."""

from __future__ import annotations

import math
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import click

from config.names import JOBS_QUEUE
from console.admin.accounts import workers_alive
from console.admin.wait import ALREADY, NotKept, Submitted, wait_for_outcomes
from console.commands.rejects import Rejects
from console.commands.submission_run import Submission
from console.jobfiles.job_file import Format, UnreadableFile
from console.jobfiles.source import STANDARD_INPUT, open_source
from console.numbers import Number
from console.params import NAME
from console.pick import demand_account, demand_queue
from console.problem import Interrupted, Problem, complain, say
from console.progress import progress
from console.queue_names import JobsQueue
from console.servers import Reach, reach, read_settings
from console.words import counted


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "json", "csv"]),
    help="JSON Lines, a JSON array or CSV.  [default: detected from name and first character]",
)
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
@click.option("--account", type=NAME, metavar="ID", help="The account for jobs that name none.")
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
    help="Start after line N, as an interrupted submission tells you to.",
)
@click.option(
    "--rejected",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for rejected lines.  [default: FILE.rejected.jsonl]",
)
def command(
    file: str,
    form: Format | None,
    *,
    dry_run: bool,
    all_or_nothing: bool,
    wait: bool,
    timeout: float,
    account: str | None,
    queue: str,
    skip: int,
    rejected: Path | None,
) -> int:
    """Put the jobs in FILE on the queue. Use - for standard input.

    FILE contains one JSON job per line, a JSON array of jobs, or CSV. It is read as a stream, so it
    can be of any size. Lines that are not valid jobs are reported, counted, and written with the
    reason to FILE.rejected.jsonl; all other jobs are still sent.

    CSV columns are named by the dotted path of a field: consumerId, profile.firstName,
    conversation.skillId, profile.authenticatedData.lp_sdes.0.info.balance. Text is taken as it is,
    fields documented as numbers become numbers, lists of texts are separated by |, and any other
    list or object is JSON. An empty cell omits the field. The separator is a comma, a semicolon or
    a tab, or what Excel's first line sep=; says. Files are UTF-8; any other kind, such as a
    workbook, is refused with what to do.

    A job without a jobId gets a UUID derived from its content. You can therefore submit the same
    file again: a job is not done twice while the ledger keeps it (OVERTURE_DEDUPE_DAYS), and --wait
    counts it as already done. To have identical jobs each done, give each its own jobId.
    """
    settings = read_settings()
    if account is not None:
        demand_account(settings, account)
    demand_queue(settings, queue)
    name = "stdin" if file == STANDARD_INPUT else file
    path = rejected or Path(f"{name}.rejected.jsonl")
    with ExitStack() as stack:
        try:
            source = stack.enter_context(open_source(file, form, twice=all_or_nothing))
        except OSError as error:
            raise Problem(f"{file} cannot be read: {error.strerror}") from None
        except UnreadableFile as error:
            raise Problem(f"{name} {error}") from None
        if source.is_at(path):
            raise Problem(f"{path} is the input file; name another file with --rejected")
        rejects = stack.enter_context(closing(Rejects(path, unit=source.unit, append=skip > 0)))
        run = Submission(
            source=source, settings=settings, account_id=account, skip=skip, rejects=rejects
        )
        if dry_run or all_or_nothing:
            run.check_all()
        if dry_run:
            say(f"{counted(run.tally.accepted, 'valid job')}; none was submitted")
            return int(run.complain())
        if all_or_nothing:
            if run.complain():
                raise Problem("nothing was submitted")
            run.begin_anew()
        return _submit(run, queue=queue, wait=wait, timeout=timeout)


def _submit(run: Submission, *, queue: str, wait: bool, timeout: float) -> int:
    is_sent = False
    try:
        with ExitStack() as stack:
            within = stack.enter_context(reach(run.settings))
            submitted = stack.enter_context(closing(Submitted())) if wait else None
            run.send_all(within, queue, submitted)
            is_sent = True
            say(f"submitted {counted(run.tally.confirmed, 'job')} to {queue}")
            if run.tally.got_ids:
                without = counted(run.tally.got_ids, "job")
                say(f"{without} had no jobId and got one derived from the content")
            failed = run.complain()
            if submitted is not None:
                failed |= _wait(within, submitted, timeout)
            return int(failed)
    except (Problem, NotKept) as error:
        sentences = error.sentences if isinstance(error, Problem) else (str(error),)
        more = () if is_sent else (run.how_to_go_on(),)
        raise Problem(*sentences, *more) from None
    except KeyboardInterrupt:
        said = "the jobs are submitted; the workers continue"
        raise Interrupted(said if is_sent else run.how_to_go_on()) from None


def _wait(within: Reach, submitted: Submitted, timeout: float) -> bool:
    """Wait for the outcomes and count them; True if a job failed, or has none yet."""
    if not workers_alive(within.store):
        complain("no worker is running; start one with: overture worker")
    deadline = time.monotonic() + timeout
    with progress("waiting", total=submitted.count) as report:
        outcomes = wait_for_outcomes(within.store, submitted, until=deadline, progress=report)
    say(_counted(outcomes))
    if outcomes["waiting"]:
        waiting = counted(outcomes["waiting"], "job")
        complain(f"no outcome yet for {waiting}; the workers continue")
    return any(name == "waiting" or "failed:" in name for name in outcomes)


def _counted(outcomes: Counter[str]) -> str:
    """Say `already done 3, created 20, failed as expired 1`."""
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
