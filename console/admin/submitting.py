"""One run of `submit`: a file is checked entry by entry, labelled, and sent in confirmed batches.

Its progress is stored (console/admin/submissions.py), so that the next run of the same file goes on
where this one broke off, and sends nothing twice.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from types import FrameType
from typing import Any, Final

from redis import Redis

from config.settings import Settings
from console.admin.submissions import (
    ABOUT_SECONDS,
    About,
    is_cancelled,
    milliseconds,
    read_about,
    set_rate,
    write_about,
)
from console.admin.wait import Sent, Submitted, with_outcomes_before
from console.jobfiles.batch_form import batches
from console.jobfiles.job_file import Entry, UnreadableFile
from console.jobfiles.rejects import REPORTED, Rejects
from console.jobfiles.repeats import Repeats
from console.jobfiles.source import Source
from console.jobfiles.submission import Accepted, Rejected, check, outgoing
from console.output import Problem, complain, counted, progress, say
from console.servers import Servers
from tasks.messages.job import Reading
from worker.broker.confirms import ConfirmedProducer
from worker.tuning import relax_collector

BATCH_JOBS: Final = 500


@dataclass(slots=True, kw_only=True)
class Tally:
    """The counts of a run so far; `through` is the last entry of a confirmed batch.

    `before` counts the jobs that had an outcome already, by outcome; `earlier` those that an
    earlier run has sent; `repeated` the entries whose job was in the file before.
    """

    accepted: int = 0
    confirmed: int = 0
    through: int = 0
    got_ids: int = 0
    earlier: int = 0
    repeated: int = 0
    before: Counter[str] = field(default_factory=Counter)
    warnings: int = 0
    without_campaign: int = 0
    without_profile: int = 0
    broken_off: str = ""


@dataclass(slots=True, kw_only=True)
class Run:
    """What a run reads, how it checks, and how far it is.

    `content` is a digest of the file and of how it is read (`options`). It is empty for a pipe:
    then a run that broke off cannot be continued. `rate` is in conversations a second.
    """

    source: Source
    settings: Settings
    submission_id: str
    content: str
    options: Mapping[str, Any]
    account_id: str | None
    consumer_id_from: str | None = None
    rate: float | None = None
    skip: int
    rejects: Rejects
    tally: Tally = field(default_factory=Tally)

    def accepted(self) -> Iterator[Accepted]:
        """Check every entry; yield the valid jobs and report the others. Raises NotKept."""
        reading = Reading(
            pass_unknown=self.settings.unknown_fields == "pass",
            unauthenticated=self.settings.unauthenticated_accounts,
        )
        with closing(Repeats()) as jobs:
            for entry in self._entries():
                checked = check(
                    entry,
                    accounts=self.settings.accounts.keys(),
                    account_id=self.account_id,
                    reading=reading,
                    consumer_id_from=self.consumer_id_from,
                    submission_id=self.submission_id,
                )
                if isinstance(checked, Rejected):
                    self.rejects.add(checked)
                    continue
                self._count(checked)
                if jobs.is_new(checked.account_id, checked.job_id, checked.digest):
                    yield checked
                else:
                    self.tally.repeated += 1

    def check_all(self) -> None:
        """Check every entry, and send nothing."""
        with progress("checking", total=self.source.size) as report:
            for number, _ in enumerate(self.accepted()):
                if number % BATCH_JOBS == 0:
                    report(self.source.position())

    def send_all(self, servers: Servers, queue: str, submitted: Submitted | None) -> None:
        """Send every valid job, in batches that the broker confirms."""
        with servers.connect() as connection, ExitStack() as stack:
            servers.broker.declare_if_allowed(connection, [queue])
            relax_collector()
            producer = servers.broker.producer(connection)
            report = stack.enter_context(progress("submitting", total=self.source.size))
            sending = _Sending(self, servers.store, producer, queue, submitted)
            jobs = self.accepted()
            try:
                # Each batch is confirmed while the next one is read and checked.
                while batch := list(islice(jobs, BATCH_JOBS)):
                    with held_back():
                        sending.confirm()
                        sending.send(batch)
                    report(self.source.position())
            except KeyboardInterrupt:
                with held_back():
                    sending.confirm()
                raise
            with held_back():
                sending.confirm()
                sending.end()

    def begin_anew(self) -> None:
        """Reset the counts, and read the source from its start."""
        self.source.rewind()
        self.tally = Tally()

    def advise(self) -> None:
        """Warn about jobs that differ from what LivePerson recommends."""
        if self.tally.without_campaign:
            jobs = counted(self.tally.without_campaign, "job")
            say(f"{jobs} without campaign or engagement: no source for agents and reports")
        if self.tally.without_profile:
            jobs = counted(self.tally.without_profile, "job")
            say(f"{jobs} without profile: agents see nothing about the consumer")

    def complain(self) -> bool:
        """Report rejected entries; False if there are none."""
        if self.rejects.count:
            complain(self.rejects.summary())
        if self.tally.broken_off:
            complain(self.tally.broken_off)
        is_beyond = self.skip > self.source.last
        if is_beyond:
            last = f"{self.source.unit} {self.source.last}"
            complain(f"the file ends with {last}, so --skip {self.skip} leaves nothing to submit")
        return bool(self.rejects.count or self.tally.broken_off or is_beyond)

    def how_to_go_on(self) -> str:
        """Return the sentence about how to continue after a run broke off."""
        tally, unit = self.tally, self.source.unit
        if not tally.confirmed:
            return "no job was confirmed; submit the file again: no job will be done twice"
        confirmed = f"{counted(tally.confirmed, 'job')} confirmed, all up to {unit} {tally.through}"
        if self.content and not self.skip:
            return f"{confirmed}; submit the file again to go on from there"
        return f"{confirmed}; continue with --skip {tally.through}"

    def _count(self, checked: Accepted) -> None:
        for warning in checked.warnings:
            self.tally.warnings += 1
            if self.tally.warnings <= REPORTED:
                complain(f"{self.source.unit} {checked.number}: warning: {warning}")
            elif self.tally.warnings == REPORTED + 1:
                complain("there are more warnings, which are not shown")
        self.tally.without_campaign += not checked.has_campaign
        self.tally.without_profile += not checked.has_profile
        self.tally.accepted += 1
        self.tally.got_ids += checked.got_id

    def _entries(self) -> Iterator[Entry]:
        limit = self.settings.max_message_bytes
        try:
            yield from batches(self.source.entries(max_bytes=limit, skip=self.skip))
        except UnreadableFile as error:
            self.tally.broken_off = str(error)


class _Sending:
    """Sends batches, and stores what the broker has confirmed."""

    def __init__(
        self,
        run: Run,
        store: Redis,
        producer: ConfirmedProducer,
        queue: str,
        submitted: Submitted | None,
    ) -> None:
        self._run = run
        self._store = store
        self._producer = producer
        self._queue = queue
        self._submitted = submitted
        before = read_about(store, run.submission_id)
        is_same = before is not None and run.content == before.content != ""
        # The same file is counted anew; other files with the same label are added.
        self._counts_anew = is_same and not run.skip
        self._least = before.total if before else 0
        goes_on = before is not None and self._counts_anew and before.sent_at is None
        # An earlier run has sent all entries up to this one.
        self._sent_through = before.through if before and goes_on else 0
        self._about = About(
            submission_id=run.submission_id,
            file=run.source.path,
            content=run.content,
            options=run.options,
            accounts=before.accounts if before else (),
            total=self._least,
            through=self._sent_through,
            begun_at=before.begun_at if before else milliseconds(),
        )
        self._own = 0  # jobs of this run with this label
        self._latest: datetime | None = None  # the latest notBefore
        self._batch: list[Sent] = []
        self._to_send = self._through = self._tag = 0
        self._accounts: set[str] = set()

    def send(self, batch: Sequence[Accepted]) -> None:
        """Send the jobs of a batch that have no outcome yet and were not sent before."""
        for account_id in {job.account_id for job in batch} - self._accounts:
            self._begin_account(account_id)
        jobs = [Sent(job.account_id, job.job_id, job.digest) for job in batch]
        found = with_outcomes_before(self._store, jobs)
        pairs = list(zip(batch, found, strict=True))
        to_send = [
            job for job, sent in pairs if not sent.before and job.number > self._sent_through
        ]
        if to_send:
            self._tag = self._producer.send([outgoing(job, self._queue) for job in to_send])
        for job, sent in pairs:
            self._count(job, sent)
        self._batch, self._to_send, self._through = found, len(to_send), batch[-1].number

    def confirm(self) -> None:
        """Wait until the broker has confirmed the batch, and store the progress."""
        if not self._batch:
            return
        self._producer.wait(self._tag)
        tally, batch = self._run.tally, self._batch
        tally.confirmed += self._to_send
        tally.through, self._batch = self._through, []
        if self._submitted is not None:
            for job in batch:
                self._submitted.add(job)
        through = max(self._sent_through, self._through)
        self._write(max(self._least, self._total()), through=through)

    def end(self) -> None:
        """Store that everything is sent."""
        if self._run.tally.broken_off:
            return
        total = self._total() if self._counts_anew else max(self._least, self._total())
        self._write(total, sent_at=milliseconds())
        for account_id in self._accounts:
            self._pace(account_id)

    def _count(self, job: Accepted, sent: Sent) -> None:
        tally, name = self._run.tally, self._run.submission_id
        if sent.before:
            tally.before[sent.before] += 1
        elif job.number <= self._sent_through:
            tally.earlier += 1
        # Done with another label, or counted by an earlier run.
        is_counted = sent.before and (sent.label != name or not self._counts_anew)
        self._own += job.submission_id == name and not is_counted
        if job.not_before is not None:
            self._latest = max(self._latest or job.not_before, job.not_before)

    def _begin_account(self, account_id: str) -> None:
        name = self._run.submission_id
        if is_cancelled(self._store, account_id, name):
            raise Problem(
                f"submission {name} was cancelled: let it go on with overture submissions resume "
                f"{name}, or give this file another name with --name"
            )
        self._accounts.add(account_id)
        everyone = tuple(sorted({*self._about.accounts, account_id}))
        self._about = replace(self._about, accounts=everyone)
        self._write(self._about.total, through=self._about.through)
        self._pace(account_id)

    def _pace(self, account_id: str) -> None:
        if rate := self._run.rate:
            name = self._run.submission_id
            set_rate(self._store, account_id, name, rate=rate, seconds=self._lifetime())

    def _total(self) -> int:
        return self._own if self._counts_anew else self._least + self._own

    def _write(self, total: int, **fields: Any) -> None:
        self._about = replace(self._about, total=total, rejected=self._run.rejects.count, **fields)
        write_about(self._store, self._about, seconds=self._lifetime())

    def _lifetime(self) -> float:
        """Return how long the submission's record is kept, in seconds."""
        lasts = max(ABOUT_SECONDS, self._run.settings.dedupe_seconds)
        if self._run.rate:
            lasts += self._about.total / self._run.rate
        if self._latest is not None:
            lasts += max(0.0, (self._latest - datetime.now(UTC)).total_seconds())
        return lasts


@contextmanager
def held_back() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block; a second one is not delayed."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell makes its background processes ignore Ctrl-C.
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
