"""`overture submit`: puts the jobs in a file on the queue."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import click

from config.names import JOBS_QUEUE
from config.settings import Settings
from console.admin.records import workers_alive
from console.admin.wait import (
    ALREADY,
    NotKept,
    Sent,
    Submitted,
    wait_for_outcomes,
    with_outcomes_before,
)
from console.jobfiles.batch_form import batches
from console.jobfiles.job_file import Entry, Format, UnreadableFile
from console.jobfiles.source import STANDARD_INPUT, Source, open_source
from console.jobfiles.submission import Accepted, Rejected, check, outgoing
from console.output import Interrupted, Problem, complain, counted, progress, say
from console.params import NAME, JobsQueue, Number
from console.servers import Reach, demand_account, demand_queue, reach, read_settings
from tasks.messages.job import Reading
from worker.tuning import relax_collector


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
@click.option(
    "--consumer-id-from",
    metavar="PATH",
    help="Where the consumerId of jobs without one is, as in profile.userId.",
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
    consumer_id_from: str | None,
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

    LivePerson's own form, an array of the two items, is a job as well: with its consumerId beside
    it, as in {"consumerId": "…", "batch": […]}, or taken from within it by --consumer-id-from.

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
            source=source,
            settings=settings,
            account_id=account,
            consumer_id_from=consumer_id_from,
            skip=skip,
            rejects=rejects,
        )
        if dry_run or all_or_nothing:
            run.check_all()
        if dry_run:
            say(f"{counted(run.tally.accepted, 'valid job')}; none was submitted")
            run.advise()
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


BATCH_JOBS: Final = 500


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a submission has come to so far; `through` is the last entry of a confirmed batch."""

    accepted: int = 0
    confirmed: int = 0
    through: int = 0
    got_ids: int = 0
    warnings: int = 0
    without_campaign: int = 0
    without_profile: int = 0
    broken_off: str = ""


@dataclass(slots=True, kw_only=True)
class Submission:
    """One run of the command: what it reads, how it checks it, and how far it is."""

    source: Source
    settings: Settings
    account_id: str | None
    consumer_id_from: str | None = None
    skip: int
    rejects: Rejects
    tally: Tally = field(default_factory=Tally)

    def accepted(self) -> Iterator[Accepted]:
        """Check every entry; pass the good ones on and report the others."""
        reading = Reading(
            pass_unknown=self.settings.unknown_fields == "pass",
            unauthenticated=self.settings.unauthenticated_accounts,
        )
        for entry in self._entries():
            checked = check(
                entry,
                accounts=self.settings.accounts.keys(),
                account_id=self.account_id,
                reading=reading,
                consumer_id_from=self.consumer_id_from,
            )
            if isinstance(checked, Rejected):
                self.rejects.add(checked)
                continue
            self._warn(checked)
            self.tally.without_campaign += not checked.has_campaign
            self.tally.without_profile += not checked.has_profile
            self.tally.accepted += 1
            self.tally.got_ids += checked.got_id
            yield checked

    def check_all(self) -> None:
        """Check every entry, and send nothing."""
        with progress("checking", total=self.source.size) as report:
            for number, _ in enumerate(self.accepted()):
                if number % BATCH_JOBS == 0:
                    report(self.source.position())

    def send_all(self, within: Reach, queue: str, submitted: Submitted | None) -> None:
        """Send every good entry, in batches that the broker confirms."""
        with within.connect() as connection, ExitStack() as stack:
            within.broker.declare_if_allowed(connection, [queue])
            relax_collector()
            producer = within.broker.producer(connection)
            report = stack.enter_context(progress("submitting", total=self.source.size))
            jobs = self.accepted()
            sent: list[Sent] = []
            through = tag = 0
            # Each batch is confirmed while the next one is read and checked.
            while batch := list(islice(jobs, BATCH_JOBS)):
                messages = [outgoing(job, queue) for job in batch]
                following = [Sent(job.account_id, job.job_id, job.digest) for job in batch]
                if submitted is not None:
                    following = with_outcomes_before(within.store, following)
                producer.wait(tag)
                self._note(sent, through, submitted)
                sent, through = following, batch[-1].number
                tag = producer.send(messages)
                report(self.source.position())
            producer.wait(tag)
            self._note(sent, through, submitted)

    def begin_anew(self) -> None:
        """Forget what was checked, and read the source from its start."""
        self.source.rewind()
        self.tally = Tally()

    def advise(self) -> None:
        """Say of how many jobs LivePerson itself would advise against."""
        if self.tally.without_campaign:
            jobs = counted(self.tally.without_campaign, "job")
            say(f"{jobs} without campaign or engagement: no source for agents and reports")
        if self.tally.without_profile:
            jobs = counted(self.tally.without_profile, "job")
            say(f"{jobs} without profile: agents see nothing about the consumer")

    def complain(self) -> bool:
        """Say what could not be read as a job; False if there is nothing to say."""
        if self.rejects.count:
            complain(self.rejects.summary())
        if self.tally.broken_off:
            complain(self.tally.broken_off)
        return bool(self.rejects.count or self.tally.broken_off)

    def how_to_go_on(self) -> str:
        """Say what is certain after a submission broke off."""
        tally, unit = self.tally, self.source.unit
        if not tally.confirmed:
            return "no job was confirmed; submit the file again: no job will be done twice"
        return (
            f"{counted(tally.confirmed, 'job')} confirmed, all up to {unit} {tally.through}; "
            f"continue with --skip {tally.through}"
        )

    def _warn(self, checked: Accepted) -> None:
        for warning in checked.warnings:
            self.tally.warnings += 1
            if self.tally.warnings <= REPORTED:
                complain(f"{self.source.unit} {checked.number}: warning: {warning}")
            elif self.tally.warnings == REPORTED + 1:
                complain("there are more warnings, which are not shown")

    def _entries(self) -> Iterator[Entry]:
        limit = self.settings.max_message_bytes
        try:
            yield from batches(self.source.entries(max_bytes=limit, skip=self.skip))
        except UnreadableFile as error:
            self.tally.broken_off = str(error)

    def _note(self, confirmed: list[Sent], through: int, submitted: Submitted | None) -> None:
        if not confirmed:
            return
        self.tally.confirmed += len(confirmed)
        self.tally.through = through
        if submitted is not None:
            for job in confirmed:
                submitted.add(job)


# So many are named on standard error; all of them are in the file.
REPORTED: Final = 20


class Rejects:
    """The file of rejected entries, made when there is a first one."""

    def __init__(self, path: Path, *, unit: str, append: bool) -> None:
        """Count in `unit`s; a run that goes on with another one appends."""
        self._path = path
        self._unit = unit
        self._mode = "ab" if append else "wb"
        self._file: BinaryIO | None = None
        self._is_broken = False
        self.count = 0

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            # What could not be written was said when it was added.
            with suppress(OSError):
                self._file.close()

    def add(self, rejected: Rejected) -> None:
        """Report an entry and keep it; one that cannot be kept holds up no other."""
        self.count += 1
        self._keep(rejected)
        if self.count <= REPORTED or self._is_broken:
            complain(f"{self._unit} {rejected.number}: {rejected.reason}")
        elif self.count == REPORTED + 1:
            complain(f"more {self._unit}s were rejected; {self._path} lists them all")

    def summary(self) -> str:
        """Say how many there are, and where."""
        where = "" if self._is_broken else f", with the reasons in {self._path}"
        return f"{counted(self.count, self._unit)} rejected{where}"

    def _keep(self, rejected: Rejected) -> None:
        if self._is_broken:
            return
        kept = {self._unit: rejected.number, "reason": rejected.reason, **rejected.content}
        try:
            if self._file is None:
                self._file = self._path.open(self._mode)  # type: ignore[assignment]  # a mode of bytes
            assert self._file is not None
            self._file.write(json.dumps(kept, ensure_ascii=False).encode(errors="replace") + b"\n")
            self._file.flush()
        except OSError as error:
            self._is_broken = True
            complain(
                f"{self._path} cannot be written: {error.strerror}; what is rejected is reported "
                "here alone, and the rest is still sent: name another file with --rejected"
            )
