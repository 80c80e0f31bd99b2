"""`overture dead-letters replay`: enqueues the jobs of dead letters again."""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import click

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE
from config.settings import Settings
from console.admin.dead_letters import Dead, read_dead
from console.admin.replay import Replayer
from console.admin.take import taking
from console.params import NAME
from console.plain import printable
from console.problem import complain, say
from console.queue_names import JobsQueue
from console.servers import Reach, reach, read_settings
from console.words import counted
from worker.broker import broker
from worker.broker.inbound import received
from worker.broker.producers import confirmed_producer

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
        broker.declare_if_allowed(connection, [queue])
        taker = stack.enter_context(taking(within.broker_url, DEAD_LETTERS_QUEUE))
        producer = confirmed_producer(connection)
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
