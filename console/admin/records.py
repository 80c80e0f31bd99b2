"""Reads and changes the ledger's records for an operator."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from config.settings import Settings
from tasks.messages.attempt import REPLAYED
from tasks.messages.outgoing import now, rfc3339
from tasks.store.brake import accounts_of
from tasks.store.connection import MILLISECONDS, Keys, script, text
from tasks.store.ledger import OPEN_SECONDS
from tasks.store.records import Fields, fields_of, look_up, look_up_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The ledger's record of a job; times are RFC 3339.

    `state` is claimed, sending, waiting, done or published. `attempts` are those of a job in
    progress, or of one that failed. `outcome` is the result or dead letter, once there is one. A
    waiting job comes back at `next_attempt_at`, if that is known; `waits_for` is the log's `why`.
    """

    account_id: str
    job_id: str
    state: str
    seen_at: str | None
    owner: str | None
    sending_since: str | None
    sent: int
    is_cancelled: bool
    next_attempt_at: str | None
    waits_for: str | None
    attempts: tuple[Mapping[str, Any], ...]
    outcome: Mapping[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON shows it, with names like those of the messages."""
        return {
            "jobId": self.job_id,
            "accountId": self.account_id,
            "state": self.state,
            "seenAt": self.seen_at,
            "owner": self.owner,
            "sendingSince": self.sending_since,
            "sent": self.sent,
            "cancelled": self.is_cancelled,
            "nextAttemptAt": self.next_attempt_at,
            "waitsFor": self.waits_for,
            "attempts": [dict(attempt) for attempt in self.attempts],
            "outcome": self.outcome,
        }


def read_record(store: Redis, account_id: str, job_id: str) -> Record | None:
    """Read a job's record; None if there is none. Raises StoreError."""
    fields = look_up(store, account_id, job_id)
    if fields is None:
        return None
    outcome = fields.get("outcome")
    history = json.loads(f"[{fields.get('history', '')}]")
    waits = fields.get("state") == "waiting"
    failed = outcome.get("error", {}).get("attempts", []) if outcome else []
    return Record(
        account_id=account_id,
        job_id=job_id,
        state=fields.get("state", "waiting"),
        seen_at=_moment(fields.get("seen")),
        owner=fields.get("owner"),
        sending_since=fields.get("sending"),
        sent=int(fields.get("sent", 0)),
        is_cancelled="cancelled" in fields,
        next_attempt_at=_moment(fields.get("due")) if waits else None,
        waits_for=fields.get("waits_for") if waits else None,
        attempts=tuple({k: v for k, v in one.items() if k != "note"} for one in history or failed),
        outcome=outcome,
    )


# The state of a job whose outcome was erased; also used in place of its routing key.
FORGOTTEN: Final = "forgotten"


@dataclass(frozen=True, slots=True)
class Ending:
    """A job's outcome in the ledger, or what it waits for.

    `digest` is empty if the ledger does not know the job. `key` is the outcome's routing key and
    `outcome` its message, which never changes; it has none of the job's own fields except consumer
    and label. A waiting job comes back at `due`, in milliseconds since 1970.
    """

    digest: str = ""
    key: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict, repr=False)
    waits_for: str = ""
    due: float | None = None

    def is_of(self, digest: str) -> bool:
        """Tell whether it is of a job with this digest."""
        return digest.startswith(self.digest)


def read_endings(store: Redis, jobs: Iterable[tuple[str, str]]) -> list[Ending]:
    """Read the endings of jobs, given as account and id. Raises StoreError."""
    return [_ending(fields or {}) for fields in look_up_all(store, jobs)]


def _ending(fields: Fields) -> Ending:
    digest = fields.get("digest", "")
    # A recorded outcome will be published: nothing can change it any more.
    if fields.get("state") in {"done", "published"}:
        return Ending(digest, key=fields["routing_key"], outcome=fields["outcome"] or {})
    if fields.get("state") == FORGOTTEN:
        return Ending(digest, key=FORGOTTEN)
    return Ending(digest, waits_for=fields.get("waits_for", ""), due=fields.get("due"))


def cancel(store: Redis, account_id: str, job_id: str) -> str:
    """Cancel a job: it is given up before its next attempt. Returns the state it was in.

    The state is empty if no worker has seen the job. The cancellation is kept until its message
    comes, however late. A job that is `done` or `published` stays as it is. Raises StoreError.
    """
    keys = Keys(account_id)
    names = [keys.job(job_id), keys.old_job(job_id)]
    return text(script(store, "clock", "record", "cancel")(names, [job_id]))


def reopen(
    store: Redis,
    account_id: str,
    job_id: str,
    *,
    letter: Mapping[str, Any],
    seconds: float,
) -> bool:
    """Let a job that ended as this dead letter wait for another attempt; True if it does now.

    Its earlier attempts are kept, since one of them may have opened a conversation, followed by a
    mark of the replay. A job that has another outcome by now is left alone. A record that the
    ledger no longer has is made again, and kept for `seconds`, or as any job without an outcome.
    Raises StoreError.
    """
    keys = Keys(account_id)
    recorded = _recorded(store, account_id, job_id, letter)
    if recorded is None:
        return False
    error = letter["error"]
    attempts = error.get("attempts") or []
    mark = {"at": now(), "httpStatus": None, "outcome": REPLAYED}
    history = ",".join(json.dumps(one) for one in (*attempts, mark))
    count = f"failed:{error.get('code')}"
    label = letter.get("job", {}).get("submissionId")
    submission = label if isinstance(label, str) else ""
    arguments: list[Any] = [
        recorded,
        count,
        history,
        len(attempts),
        _ms(max(seconds, OPEN_SECONDS)),
        submission,
    ]
    names = [keys.job(job_id), keys.old_job(job_id), keys.counts, keys.tally(submission)]
    return bool(script(store, "clock", "record", "reopen")(names, arguments))


def _recorded(
    store: Redis, account_id: str, job_id: str, letter: Mapping[str, Any]
) -> bytes | None:
    """Return the record of a dead letter; empty if there is no outcome, None if there is another.

    The job itself is not compared: it has the record's digest, so its content is the same.
    """
    keys = Keys(account_id)
    record: Any = store.get(keys.job(job_id))
    if record is None:
        outcome: Any = store.hget(keys.old_job(job_id), "outcome")
        return (outcome or b"") if not outcome or json.loads(outcome) == letter else None
    fields = fields_of(record, account_id, job_id)
    if fields["state"] not in {"done", "published"}:
        return b""
    kept = _without_job(fields.get("outcome") or {})
    return bytes(record) if kept == _without_job(letter) else None


def _without_job(letter: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in letter.items() if name != "job"}


def _ms(seconds: float) -> int:
    return int(seconds * MILLISECONDS)


def _moment(milliseconds: float | None) -> str | None:
    if not milliseconds:
        return None
    return rfc3339(datetime.fromtimestamp(milliseconds / MILLISECONDS, UTC))


def known_accounts(store: Redis, settings: Settings) -> list[str]:
    """Return the configured accounts; if there are none, those that workers have worked for.

    Raises StoreError.
    """
    if settings.accounts:
        return sorted(settings.accounts)
    return accounts_of(store, ())


def accounts_with(store: Redis, accounts: Iterable[str], job_id: str) -> list[str]:
    """Return the accounts whose ledger has a record of a job. Raises StoreError."""
    return [
        one for one in accounts if store.exists(Keys(one).job(job_id), Keys(one).old_job(job_id))
    ]
