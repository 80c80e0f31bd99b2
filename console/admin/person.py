"""The data of a person: finds them by the consumer's id, and erases them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE, account_queue
from config.settings import Settings
from console.admin.dead_letters import read_dead
from console.admin.records import FORGOTTEN, Record, read_record
from tasks.messages.call import read_outcome
from tasks.messages.intake import Malformed, Received, read
from tasks.messages.json_text import MalformedJSON
from tasks.store.connection import Keys, script, text
from tasks.store.finished import consumer_name, consumer_note, note_name, read_note
from tasks.store.ledger import OPEN_SECONDS
from worker.broker.base import Broker
from worker.broker.message import received

DAY_SECONDS: Final = 86_400
# How many messages of a queue are read in search of a person's.
MAX_LOOKED_AT: Final = 10_000


def jobs_of_consumer(
    store: Redis, settings: Settings, accounts: Collection[str], consumer_id: str
) -> list[Record]:
    """Return the records of a consumer's jobs, the latest first. Raises StoreError."""
    find, found = script(store, "clock", "opened", "jobs_of"), []
    for account_id in accounts:
        names = find([Keys(account_id).consumers], [consumer_name(consumer_id), _days(settings)])
        for job_id in {read_note(name) for name in names}:
            record = read_record(store, account_id, job_id)
            if record is not None and _consumer_of(record) in {None, consumer_id}:
                found.append(record)
    return sorted(found, key=lambda one: one.seen_at or "", reverse=True)


def job_of_conversation(
    store: Redis, settings: Settings, accounts: Collection[str], conversation_id: str
) -> list[Record]:
    """Return the record of the job that a conversation was opened for.

    Several, if accounts have conversations with the same id. Raises StoreError.
    """
    opener, found = script(store, "clock", "opened", "opener"), []
    for account_id in accounts:
        keys = Keys(account_id)
        names = [keys.opened, keys.old_conversation(conversation_id)]
        note, old = opener(names, [note_name(conversation_id), _days(settings)])
        job_id = read_note(note) if note else text(old)
        record = read_record(store, account_id, job_id) if job_id else None
        if record is not None:
            found.append(record)
    return found


def _days(settings: Settings) -> int:
    """Return how many days notes of jobs are kept at most."""
    return math.ceil(max(settings.dedupe_seconds, OPEN_SECONDS) / DAY_SECONDS) + 1


def _consumer_of(record: Record) -> str | None:
    """Return the consumer of a finished job; records of other jobs do not have it."""
    outcome = record.outcome or {}
    found = (outcome.get("job") or outcome).get("consumerId")
    return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The data that are held of a person.

    `finished` jobs can be forgotten, those `under_way` not. `letters` are dead letters on their
    queue, `queued` counts the messages in other queues by the queue's name. `looked_at_all` tells
    whether every queue was read to its end.
    """

    finished: list[Record]
    under_way: list[Record]
    letters: int
    queued: dict[str, int]
    looked_at_all: bool


def held_of(
    broker: Broker, store: Redis, settings: Settings, accounts: Collection[str], consumer_id: str
) -> Held:
    """Search for a person's data. Raises the errors of broker and store."""
    jobs = jobs_of_consumer(store, settings, accounts, consumer_id)
    ended = {"done", "published"}
    counts, is_whole = {}, True
    for queue in (DEAD_LETTERS_QUEUE, RESULTS_QUEUE, JOBS_QUEUE, *map(account_queue, accounts)):
        looked_at = found = 0
        with closing(broker.look(queue)) as messages:
            for message in islice(messages, MAX_LOOKED_AT):
                looked_at += 1
                found += _consumer_in(queue, message) == consumer_id
        counts[queue] = found
        is_whole &= looked_at < MAX_LOOKED_AT
    letters = counts.pop(DEAD_LETTERS_QUEUE)
    return Held(
        finished=[job for job in jobs if job.state in ended],
        under_way=[job for job in jobs if job.state not in {*ended, FORGOTTEN}],
        letters=letters,
        queued={queue: count for queue, count in counts.items() if count},
        looked_at_all=is_whole,
    )


def forget(
    store: Redis, settings: Settings, accounts: Collection[str], consumer_id: str, held: Held
) -> int:
    """Erase a person's finished jobs and notes; returns the number of jobs.

    The id of such a job and the digest of its content are kept, so that it is not done again.
    Raises StoreError.
    """
    erase, erased = script(store, "clock", "record", "opened", "forget"), 0
    for job in held.finished:
        keys = Keys(job.account_id)
        conversation = (job.outcome or {}).get("conversationId")
        arguments: list[bytes | int] = [
            note_name(conversation) if conversation else b"",
            consumer_note(consumer_id, job.job_id),
            _days(settings),
        ]
        names = [keys.job(job.job_id), keys.old_job(job.job_id), keys.opened, keys.consumers]
        erased += text(erase(names, arguments)) == FORGOTTEN
        if conversation:
            store.delete(keys.old_conversation(conversation))
    for account_id in accounts:
        keys = Keys(account_id)
        store.delete(keys.visit(consumer_id))
        if not any(job.account_id == account_id for job in held.under_way):
            # Jobs in progress still need these, to tell whose an open conversation is.
            store.delete(keys.doubts(consumer_id), keys.consumer(consumer_id))
    return erased


def discard_letters(broker: Broker, consumer_id: str) -> int:
    """Delete a person's dead letters from their queue; returns how many."""
    taken = 0
    with broker.taking(DEAD_LETTERS_QUEUE) as taker:
        for _ in range(min(taker.ready(), MAX_LOOKED_AT)):
            if (message := taker.take()) is None:
                break
            if _consumer_in(DEAD_LETTERS_QUEUE, received(message)) == consumer_id:
                message.ack()
                taken += 1
    return taken


def _consumer_in(queue: str, message: Received) -> str | None:
    """Return a message's consumer, if it can be read."""
    document = next(_document(queue, message), None)
    found = document.get("consumerId") if isinstance(document, Mapping) else None
    return found if isinstance(found, str) else None


def _document(queue: str, message: Received) -> Iterator[Any]:
    if queue == DEAD_LETTERS_QUEUE:
        yield read_dead(message.body, message.headers).job
        return
    try:
        if queue == RESULTS_QUEUE:
            yield read_outcome(message.body)
        else:
            yield read(message, max_bytes=len(message.body)).document
    except (Malformed, MalformedJSON):
        return
