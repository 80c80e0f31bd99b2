"""Replays or discards all dead letters that an operator has chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Final

from kombu import Message

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE
from config.settings import Settings
from console.admin.dead_letters import Dead, read_dead, reason_key
from console.admin.discard import Discarder
from console.admin.replay import Replayer
from console.servers import Servers
from worker.broker.base import Taker
from worker.broker.message import received

# Letters that are not chosen stay in hand until the end, so there is a maximum of them.
MAX_HELD: Final = 10_000
IN_DOUBT: Final = "in_doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters to replay or discard: those that all of this is true of.

    Without job ids, it can be any job's. `reason` is the `reason_key` of why it failed. `is_sure`
    is called for each letter that is in doubt, before its job is repeated.
    """

    jobs: Collection[str] = ()
    code: str | None = None
    submission_id: str | None = None
    reason: str | None = None
    is_sure: Callable[[Dead], bool] = field(default=lambda _: True)

    def takes(self, letter: Dead) -> bool:
        """Tell whether a letter is chosen."""
        return (
            (not self.jobs or letter.job_id in self.jobs)
            and self.code in {None, letter.code}
            and self.submission_id in {None, letter.submission_id}
            and self.reason in {None, reason_key(letter.code, letter.message)}
        )


@dataclass(slots=True, kw_only=True)
class Count:
    """The counts of a run."""

    done: int = 0
    held: int = 0
    in_doubt: int = 0
    unreadable: int = 0
    missing: set[str] = field(default_factory=set)
    is_cut_short: bool = False


@contextmanager
def letters_at(servers: Servers) -> Iterator[Iterator[Dead]]:
    """Yield the dead letters, which stay where they are. Raises the broker's own errors."""
    with servers.connect() as connection:
        servers.broker.declare_if_allowed(connection, [JOBS_QUEUE])
    with closing(servers.broker.look(DEAD_LETTERS_QUEUE)) as seen:
        yield (read_dead(one.body, one.headers) for one in seen)


def replay_chosen(servers: Servers, settings: Settings, choice: Choice, queue: str) -> Count:
    """Enqueue the jobs of the chosen letters. Raises the errors of broker and store."""
    count = Count(missing=set(choice.jobs))
    with ExitStack() as stack:
        connection = stack.enter_context(servers.connect())
        servers.broker.declare_if_allowed(connection, [queue])
        taker = stack.enter_context(servers.broker.taking(DEAD_LETTERS_QUEUE))
        producer = servers.broker.producer(connection)
        replayer = Replayer(producer, store=servers.store, settings=settings, queue=queue)
        for message, letter in _taken(taker, count):
            if _may_go(letter, choice, count):
                replayer.add(message, letter)
                count.done += 1
            else:
                count.held += 1
        replayer.flush()
    return count


def discard_chosen(servers: Servers, choice: Choice, discarder: Discarder) -> Count:
    """Delete the chosen letters from the queue, after each was written to a file.

    Raises the broker's own errors, and Problem if the file cannot be written.
    """
    count = Count(missing=set(choice.jobs))
    with servers.broker.taking(DEAD_LETTERS_QUEUE) as taker:
        for message, letter in _taken(taker, count):
            if choice.takes(letter):
                discarder.add(message, letter)
                count.done += 1
            else:
                count.held += 1
        discarder.flush()
    return count


def _taken(taker: Taker, count: Count) -> Iterator[tuple[Message, Dead]]:
    """Take all messages of the queue once; new dead letters are left for the next run."""
    for _ in range(taker.ready()):
        if count.held == MAX_HELD:
            count.is_cut_short = True
            return
        if (message := taker.take()) is None:
            return
        read = received(message)
        letter = read_dead(read.body, read.headers)
        count.missing.discard(letter.job_id)
        yield message, letter


def _may_go(letter: Dead, choice: Choice, count: Count) -> bool:
    """Tell whether to replay a letter; counts those that are chosen but cannot be replayed."""
    if not choice.takes(letter):
        return False
    if letter.job is None:
        count.unreadable += 1
        return False
    if letter.code == IN_DOUBT and not choice.is_sure(letter):
        count.in_doubt += 1
        return False
    return True
