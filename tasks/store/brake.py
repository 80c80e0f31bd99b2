"""The brake: what an operator has paused, and nothing is sent for until it is resumed.

The script that begins a job reads it (`lua/brake.lua`), so that no worker can miss it. Each account
has its own record. A pause of every account has a record, too, for accounts that begin to work
later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from redis import Redis

from tasks.messages.outgoing import rfc3339
from tasks.store.connection import Keys, text

EVERYTHING: Final = "all"
ACCOUNT: Final = "account"
SUBMISSION: Final = "submission:"
# What is paused in every account.
EVERYWHERE: Final = "overture:paused"
# The accounts that any worker has worked for.
ACCOUNTS: Final = "overture:accounts"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pause:
    """What is paused: everything, an account or a submission; since when (RFC 3339) and by whom."""

    what: str
    since: str
    by: str

    @property
    def value(self) -> str:
        """Its value in the store."""
        return f"{self.since} {self.by}"

    @property
    def submission_id(self) -> str | None:
        """The submission, if one is paused."""
        found = self.what.removeprefix(SUBMISSION)
        return found if found != self.what else None

    def sentence(self, account_id: str | None = None) -> str:
        """Return a sentence about it, for an account."""
        if self.submission_id is not None:
            what = f"submission {self.submission_id}"
        else:
            what = "everything" if self.what == EVERYTHING else f"account {account_id}"
        return f"{what} is paused since {self.since} by {self.by}"

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        scope = "submission" if self.submission_id is not None else self.what
        return {
            "scope": scope,
            "submissionId": self.submission_id,
            "since": self.since,
            "by": self.by,
        }


@dataclass(frozen=True, slots=True)
class Scope:
    """What to pause or resume: everything, an account, or a submission in one or all accounts.

    Without an account it applies to all: the known ones, and those that workers work for, now or
    later.
    """

    account_id: str | None = None
    submission_id: str | None = None

    @property
    def what(self) -> str:
        """Its name in the store."""
        if self.submission_id is not None:
            return f"{SUBMISSION}{self.submission_id}"
        return EVERYTHING if self.account_id is None else ACCOUNT

    def records(self, store: Redis, known: Iterable[str]) -> Iterator[str]:
        """Yield the records to change; the one for accounts to come is the first."""
        if self.account_id is not None:
            yield Keys(self.account_id).paused
            return
        yield EVERYWHERE
        # Read only after that record was changed: see `Brake.look`.
        for one in accounts_of(store, known):
            yield Keys(one).paused


def pause(store: Redis, scope: Scope, *, known: Iterable[str], by: str) -> Pause:
    """Pause it; an earlier pause of the same stays as it is. Raises StoreError."""
    what = scope.what
    seconds, microseconds = store.time()
    since = datetime.fromtimestamp(float(seconds) + float(microseconds) / 1e6, UTC)
    new = Pause(what=what, since=rfc3339(since), by=by)
    written = []
    for record in scope.records(store, known):
        store.hsetnx(record, what, new.value)
        written.append(record)
    return _pause(what, text(store.hget(written[0], what)))


def resume(store: Redis, scope: Scope, *, known: Iterable[str]) -> bool:
    """Resume it, and tell whether it was paused; other pauses stay. Raises StoreError."""
    found = [store.hdel(record, scope.what) for record in scope.records(store, known)]
    return any(found)


def pauses(store: Redis, account_id: str | None) -> list[Pause]:
    """Return the pauses of an account, or of all accounts, the widest first. Raises StoreError."""
    return read_pauses(store.hgetall(EVERYWHERE if account_id is None else Keys(account_id).paused))


def accounts_of(store: Redis, known: Iterable[str]) -> list[str]:
    """Return the known accounts, and all that any worker has worked for. Raises StoreError."""
    return sorted({*known, *map(text, store.smembers(ACCOUNTS))})


class Brake:
    """The pauses that this worker has seen last, for its log, and to fetch no token in vain.

    Whether a job may be sent is decided by the script alone.
    """

    def __init__(self, store: Redis, accounts: Collection[str]) -> None:
        self._store = store
        self._accounts = tuple(accounts)
        self._seen: dict[str, list[Pause]] | None = None

    def is_on(self, account_id: str, submission_id: str | None) -> bool:
        """Tell whether a job of this account and submission may be paused."""
        if self._seen is None:
            return True
        found = self._seen.get(account_id, ())
        return any(one.submission_id in {None, submission_id} for one in found)

    def look(self) -> None:
        """Read the pauses, and log what has changed. Raises StoreError."""
        pipe: Any  # redis-py gives this method no types
        with self._store.pipeline(transaction=False) as pipe:
            # Listed before the pauses are read: a command that pauses everything either finds this
            # account, or its pause is read here.
            pipe.sadd(ACCOUNTS, *self._accounts)
            pipe.hgetall(EVERYWHERE)
            for account_id in self._accounts:
                pipe.hgetall(Keys(account_id).paused)
            _, everywhere, *each = pipe.execute()
        seen = dict(zip(self._accounts, map(read_pauses, each), strict=True))
        for account_id, found in seen.items():
            self._adopt(account_id, found, read_pauses(everywhere))
        self._tell(self._seen or {}, seen)
        self._seen = seen

    def _adopt(self, account_id: str, found: list[Pause], everywhere: Iterable[Pause]) -> None:
        """Copy a pause of every account to one that was not known when it was made."""
        known = {one.what for one in found}
        for one in everywhere:
            if one.what not in known:
                self._store.hsetnx(Keys(account_id).paused, one.what, one.value)
                found.append(one)

    def _tell(self, before: Mapping[str, list[Pause]], after: Mapping[str, list[Pause]]) -> None:
        for account_id in self._accounts:
            old, new = before.get(account_id, []), after[account_id]
            for one in new:
                if one not in old:
                    log.warning("account.paused", account=account_id, **one.to_dict())
            for one in old:
                if one not in new:
                    log.info("account.resumed", account=account_id, **one.to_dict())


def read_pauses(record: Mapping[Any, Any]) -> list[Pause]:
    """Read a record of pauses, the widest first."""
    found = (_pause(text(what), text(value)) for what, value in record.items())
    return sorted(
        found, key=lambda one: (one.submission_id is not None, one.what != EVERYTHING, one)
    )


def _pause(what: str, value: str) -> Pause:
    since, _, by = value.partition(" ")
    return Pause(what=what, since=since, by=by)
