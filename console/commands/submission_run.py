"""One run of `overture submit`: entries are checked, batched, sent and confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from config.settings import Settings
from console.admin.wait import Sent, Submitted, with_outcomes_before
from console.commands.rejects import Rejects
from console.jobfiles.job_file import Entry, UnreadableFile
from console.jobfiles.source import Source
from console.jobfiles.submission import Accepted, Rejected, check, outgoing
from console.problem import complain
from console.progress import progress
from console.servers import Reach
from console.words import counted
from worker.broker import broker
from worker.broker.producers import confirmed_producer
from worker.collector import relax_collector

BATCH_JOBS: Final = 500


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a submission has come to so far; `through` is the last entry of a confirmed batch."""

    accepted: int = 0
    confirmed: int = 0
    through: int = 0
    got_ids: int = 0
    broken_off: str = ""


@dataclass(slots=True, kw_only=True)
class Submission:
    """One run of the command: what it reads, how it checks it, and how far it is."""

    source: Source
    settings: Settings
    account_id: str | None
    skip: int
    rejects: Rejects
    tally: Tally = field(default_factory=Tally)

    def accepted(self) -> Iterator[Accepted]:
        """Check every entry; pass the good ones on and report the others."""
        for entry in self._entries():
            checked = check(
                entry, accounts=self.settings.accounts.keys(), account_id=self.account_id
            )
            if isinstance(checked, Rejected):
                self.rejects.add(checked)
                continue
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
            broker.declare_if_allowed(connection, [queue])
            relax_collector()
            producer = confirmed_producer(connection)
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

    def _entries(self) -> Iterator[Entry]:
        limit = self.settings.max_message_bytes
        try:
            yield from self.source.entries(max_bytes=limit, skip=self.skip)
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
