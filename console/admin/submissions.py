"""Submissions: jobs that share a submissionId, as the store counts and `submit` describes them.

Workers count the jobs that they see (tasks/store/lua/submission.lua), whoever enqueued them. What
only `submit` knows (the file, how many jobs it has, how far it was sent) is in another record.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from redis import Redis

from tasks.messages.outgoing import rfc3339
from tasks.store.brake import Pause, pauses
from tasks.store.connection import MILLISECONDS, Keys, text
from tasks.store.ledger import DAY_SECONDS, today

# How long the record of `submit` is kept at least: longer than most files take.
ABOUT_SECONDS: Final = 31.0 * DAY_SECONDS
INDEX: Final = "overture:submissions"
# The other fields in the hash of counts (tasks/store/lua/submission.lua).
MARKS: Final = frozenset({"jobs", "begun", "cancelled", "rate", "pace", "line", "paced_at"})
CREATED: Final = "created"
REUSED: Final = "reused"
FAILED: Final = "failed:"
# How many ids of ended jobs are read at a time.
BATCH_IDS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The record of `submit` about a submission; times are milliseconds since 1970.

    `content` is a digest of the file and of how it is read (`options`), empty if it was a pipe. The
    broker has the jobs up to entry `through`, and all of them if `sent_at` is set. `total` counts
    the jobs, each once, without those that were done before under another label.
    """

    submission_id: str
    file: str = ""
    content: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    accounts: tuple[str, ...] = ()
    total: int = 0
    through: int = 0
    rejected: int = 0
    begun_at: int = 0
    sent_at: int | None = None


def _name(submission_id: str) -> str:
    return f"overture:submission:{submission_id}"


def write_about(store: Redis, about: About, *, seconds: float = ABOUT_SECONDS) -> None:
    """Store the record of a submission, for `seconds`. Raises StoreError."""
    fields: Any = {
        "file": about.file,
        "content": about.content,
        "options": json.dumps(about.options),
        "accounts": json.dumps(about.accounts),
        "total": about.total,
        "through": about.through,
        "rejected": about.rejected,
        "begun": about.begun_at,
        "sent": about.sent_at or "",
    }
    lasts_ms = int(seconds * MILLISECONDS)
    with store.pipeline(transaction=False) as pipe:
        pipe.hset(_name(about.submission_id), mapping=fields)
        pipe.pexpire(_name(about.submission_id), lasts_ms)
        pipe.zadd(INDEX, {about.submission_id: milliseconds() + lasts_ms})
        pipe.zremrangebyscore(INDEX, "-inf", milliseconds())
        pipe.execute()


def read_about(store: Redis, submission_id: str) -> About | None:
    """Read the record of a submission; None if `submit` made none. Raises StoreError."""
    raw: Any = store.hgetall(_name(submission_id))
    return _about(submission_id, raw)


def _about(submission_id: str, raw: Mapping[Any, Any]) -> About | None:
    if not raw:
        return None
    found = {text(name): text(value) for name, value in raw.items()}
    return About(
        submission_id=submission_id,
        file=found["file"],
        content=found["content"],
        options=json.loads(found["options"]),
        accounts=tuple(json.loads(found["accounts"])),
        total=int(found["total"]),
        through=int(found["through"]),
        rejected=int(found["rejected"]),
        begun_at=int(found["begun"]),
        sent_at=int(found["sent"]) if found["sent"] else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The state of a submission: what was sent, and the outcomes so far.

    `outcomes` counts the ended jobs by `created`, `reused`, and `failed:` with a code. `rate` is
    its pace, in conversations a second for each account. `paused` is a sentence about the pause
    that holds its jobs, if there is one.
    """

    submission_id: str
    about: About | None
    seen: int
    outcomes: Mapping[str, int]
    is_cancelled: bool
    rate: float | None
    begun_at: int | None
    paused: str | None = None

    @property
    def ended(self) -> int:
        """How many of its jobs have an outcome."""
        return sum(self.outcomes.values())

    @property
    def total(self) -> int:
        """How many jobs it has: in its file, or seen by workers."""
        return max(self.about.total if self.about else 0, self.seen, self.ended)

    @property
    def waiting(self) -> int:
        """How many of its jobs have no outcome yet."""
        return self.total - self.ended

    @property
    def created(self) -> int:
        """How many of its jobs have a new conversation."""
        return self.outcomes.get(CREATED, 0)

    @property
    def reused(self) -> int:
        """How many of its jobs have a conversation that was open before."""
        return self.outcomes.get(REUSED, 0)

    @property
    def failed(self) -> int:
        """How many of its jobs are dead letters."""
        return sum(count for name, count in self.outcomes.items() if name.startswith(FAILED))

    @property
    def state(self) -> str:
        """Its state in a word."""
        if self.is_cancelled:
            return "cancelled"
        if self.about and self.about.sent_at is None:
            return "paused" if self.paused else "sending"
        if self.waiting == 0:
            return "done"
        return "paused" if self.paused else "running"

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON shows it, with names like those of the messages."""
        about = self.about
        return {
            "submissionId": self.submission_id,
            "state": self.state,
            "paused": self.paused,
            "file": about.file or None if about else None,
            "total": self.total,
            "waiting": self.waiting,
            "created": self.created,
            "reused": self.reused,
            "failed": self.failed,
            "outcomes": dict(sorted(self.outcomes.items())),
            "rejected": about.rejected if about else None,
            "rate": self.rate,
            "begunAt": moment(self.begun_at),
            "sentAt": moment(about.sent_at) if about else None,
        }


def moment(at: int | None) -> str | None:
    """Return a time as in messages."""
    return rfc3339(datetime.fromtimestamp(at / MILLISECONDS, UTC)) if at else None


def milliseconds() -> int:
    """Return this machine's time in milliseconds."""
    return int(time.time() * MILLISECONDS)


def view(store: Redis, accounts: Collection[str], submission_id: str) -> View | None:
    """Read a submission; None if it is unknown. Raises StoreError."""
    return next(_views(store, accounts, [submission_id]), None)


def views(store: Redis, accounts: Collection[str]) -> list[View]:
    """Read all submissions, the latest first. Raises StoreError."""
    with store.pipeline(transaction=False) as pipe:
        for name in (INDEX, *(Keys(account_id).submissions for account_id in accounts)):
            pipe.zrangebyscore(name, milliseconds(), "+inf")
        names = sorted({text(one) for found in pipe.execute() for one in found})
    found = [
        one
        for start in range(0, len(names), BATCH_IDS)
        for one in _views(store, accounts, names[start : start + BATCH_IDS])
    ]
    return sorted(found, key=lambda one: (-(one.begun_at or 0), one.submission_id))


def _views(store: Redis, accounts: Collection[str], names: Sequence[str]) -> Iterator[View]:
    """Read some submissions, without those that are unknown."""
    with store.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(_name(name))
        abouts = [_about(name, raw) for name, raw in zip(names, pipe.execute(), strict=True)]
    everyone = [sorted({*accounts, *(one.accounts if one else ())}) for one in abouts]
    with store.pipeline(transaction=False) as pipe:
        for name, its_accounts in zip(names, everyone, strict=True):
            for account_id in its_accounts:
                pipe.hgetall(Keys(account_id).tally(name))
        answers = iter(pipe.execute())
    paused = {one: pauses(store, one) for one in {None, *chain.from_iterable(everyone)}}
    for name, about, its_accounts in zip(names, abouts, everyone, strict=True):
        tallies = [_tally(next(answers)) for _ in its_accounts]
        if about or any(tallies):
            held = (_held(paused[one], one, name) for one in (None, *its_accounts))
            yield replace(_view(name, about, tallies), paused=next(filter(None, held), None))


def _held(found: Iterable[Pause], account_id: str | None, submission_id: str) -> str | None:
    """Return a sentence about the pause that holds a submission's jobs, or None."""
    its_own = [one for one in found if one.submission_id in {None, submission_id}]
    return its_own[0].sentence(account_id) if its_own else None


def _view(name: str, about: About | None, tallies: Sequence[Mapping[str, str]]) -> View:
    outcomes: Counter[str] = Counter()
    for tally in tallies:
        outcomes.update({k: int(v) for k, v in tally.items() if k not in MARKS and int(v) > 0})
    begun = [float(tally["begun"]) for tally in tallies if "begun" in tally]
    begun += [about.begun_at] if about else []
    rates = [float(tally["rate"]) for tally in tallies if "rate" in tally]
    return View(
        submission_id=name,
        about=about,
        seen=sum(int(tally.get("jobs", 0)) for tally in tallies),
        outcomes=outcomes,
        is_cancelled=any("cancelled" in tally for tally in tallies),
        rate=rates[0] if rates else None,
        begun_at=int(min(begun)) if begun else None,
    )


def _tally(raw: Mapping[Any, Any]) -> dict[str, str]:
    return {text(name): text(value) for name, value in raw.items()}


def set_rate(
    store: Redis, account_id: str, submission_id: str, *, rate: float, seconds: float
) -> None:
    """Set the pace of a submission in an account, kept for `seconds`. Raises StoreError."""
    keys = Keys(account_id)
    with store.pipeline(transaction=False) as pipe:
        pipe.hset(keys.tally(submission_id), "rate", str(rate))
        pipe.pexpire(keys.tally(submission_id), int(seconds * MILLISECONDS))
        pipe.execute()


def is_cancelled(store: Redis, account_id: str, submission_id: str) -> bool:
    """Tell whether a submission is cancelled in an account. Raises StoreError."""
    return bool(store.hexists(Keys(account_id).tally(submission_id), "cancelled"))


def cancel_submission(store: Redis, accounts: Iterable[str], submission_id: str) -> None:
    """Cancel a submission: its jobs that come from now on end as cancelled. Raises StoreError.

    It stays cancelled until that is taken back, since its messages may wait for any time.
    """
    for account_id in accounts:
        keys = Keys(account_id)
        with store.pipeline(transaction=False) as pipe:
            pipe.hset(keys.tally(submission_id), "cancelled", str(milliseconds()))
            pipe.persist(keys.tally(submission_id))
            pipe.zadd(keys.submissions, {submission_id: float("inf")})
            pipe.execute()


def take_back_cancellation(
    store: Redis, accounts: Iterable[str], submission_id: str, *, seconds: float
) -> bool:
    """Take back a submission's cancellation; False if it was not cancelled. Raises StoreError."""
    was_cancelled = False
    for account_id in accounts:
        keys = Keys(account_id)
        if store.hdel(keys.tally(submission_id), "cancelled"):
            was_cancelled = True
            lasts_ms = int(seconds * MILLISECONDS)
            store.pexpire(keys.tally(submission_id), lasts_ms)
            store.zadd(keys.submissions, {submission_id: milliseconds() + lasts_ms})
    return was_cancelled


def ended_jobs(
    store: Redis, account_id: str, submission_id: str, *, seconds: float, every: int = 1
) -> Iterator[list[str]]:
    """Yield the ids of the jobs that ended in the last `seconds`, some at a time.

    They are in the order of their ends; a replayed job comes once for each end. Of many jobs, only
    one batch in `every` is read. Raises StoreError.
    """
    keys, last = Keys(account_id), today() + 1
    first = last - int(seconds // DAY_SECONDS) - 2
    for day in range(first, last + 1):
        name, start = keys.ended(submission_id, day), 0
        while found := store.lrange(name, start, start + BATCH_IDS - 1):
            yield [text(one) for one in found]
            start += every * BATCH_IDS
