"""Reads the ledger's record of a job, in any of its formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson
from redis import Redis

from tasks.messages.trace import read_trace
from tasks.store.connection import Keys, ask, text
from tasks.store.finished import DIGEST_BYTES, read

# Of a job in progress: digest, state, owner, lease, seen, history, losses, sent, cancelled,
# sending, permit, visit, refused_at, due, waits_for, lock; times are in ms. Of a finished job:
# digest, state, seen, routing_key, trace, and outcome, without the job's own fields, except its
# consumer and its label.
Fields = dict[str, Any]

_NUMBERS = ("seen", "lease", "losses", "sent", "due", "refused_at")


def look_up(store: Redis, account_id: str, job_id: str) -> Fields | None:
    """Read a job's record; None if there is none. Raises StoreError."""
    keys = Keys(account_id)
    if value := ask(store, "GET", keys.job(job_id)):
        return fields_of(value, account_id, job_id)
    return old_fields_of(ask(store, "HGETALL", keys.old_job(job_id)))


def look_up_all(store: Redis, jobs: Iterable[tuple[str, str]]) -> list[Fields | None]:
    """Read the records of many jobs, given as account and id, in one round trip."""
    wanted = list(jobs)
    with store.pipeline(transaction=False) as pipe:
        for account_id, job_id in wanted:
            pipe.get(Keys(account_id).job(job_id))
            pipe.hgetall(Keys(account_id).old_job(job_id))
        answers = pipe.execute()
    return [
        fields_of(value, *job) if value else old_fields_of(old)
        for job, value, old in zip(wanted, answers[::2], answers[1::2], strict=True)
    ]


def fields_of(value: bytes, account_id: str, job_id: str) -> Fields:
    """Read a record."""
    if value.startswith(b"{"):
        return cast("Fields", orjson.loads(value))
    found = read(value)
    fields = {
        "digest": found.digest,
        "state": found.state,
        "seen": found.seen,
        "routing_key": found.routing_key,
        "outcome": _outcome(found.message, account_id, job_id),
    }
    return {**fields, "trace": found.trace} if found.trace else fields


def old_fields_of(values: Mapping[bytes, bytes]) -> Fields | None:
    """Read a record in the format of older versions."""
    fields: Fields = {text(name): text(value) for name, value in values.items()}
    if not fields:
        return None
    fields |= {name: float(fields[name]) for name in _NUMBERS if name in fields}
    if "digest" in fields:
        fields["digest"] = fields["digest"][: 2 * DIGEST_BYTES]
    if "outcome" in fields:
        fields["outcome"] = orjson.loads(fields["outcome"])
        fields["routing_key"] = fields.pop("key", "")
    if "trace" in fields:
        fields["trace"] = read_trace(fields["trace"].encode())
    return fields


def _outcome(
    message: Mapping[str, Any] | None, account_id: str, job_id: str
) -> dict[str, Any] | None:
    if message is None:
        return None
    known = {
        "jobId": job_id,
        "accountId": account_id,
        "dialogId": message.get("conversationId"),
    }
    whole = {name: known.get(name) if value is None else value for name, value in message.items()}
    return {name: value for name, value in whole.items() if value is not None}
