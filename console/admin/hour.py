"""How an account's jobs ended in each minute of the last hour, as workers count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from console.admin.submissions import CREATED, FAILED, REUSED
from tasks.store.connection import Keys, script, text

MINUTES: Final = 60
SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Minute:
    """The outcomes of a minute, named as in the totals; `at` is its begin, as Unix time."""

    at: int
    outcomes: Mapping[str, int]

    @property
    def created(self) -> int:
        """How many jobs got a new conversation."""
        return self.outcomes.get(CREATED, 0)

    @property
    def reused(self) -> int:
        """How many got one that was open before."""
        return self.outcomes.get(REUSED, 0)

    @property
    def failed(self) -> int:
        """How many became dead letters."""
        return sum(count for name, count in self.outcomes.items() if name.startswith(FAILED))


def read_hour(store: Redis, account_id: str) -> list[Minute]:
    """Read the last MINUTES minutes by the store's clock, the oldest first; the last is not over.

    Raises StoreError.
    """
    answer: Any = script(store, "clock", "hour")([Keys(account_id).counts], [MINUTES])
    last, found = int(answer[0]), answer[1]
    return [
        Minute(SECONDS * (last - MINUTES + 1 + number), _counts(one))
        for number, one in enumerate(found)
    ]


def _counts(pairs: list[bytes]) -> dict[str, int]:
    return {text(name): int(count) for name, count in zip(pairs[::2], pairs[1::2], strict=True)}


def added(hours: Iterable[Iterable[Minute]]) -> list[Minute]:
    """Add the hours of several accounts."""
    found: dict[int, Counter[str]] = {}
    for one in (minute for hour in hours for minute in hour):
        found.setdefault(one.at, Counter()).update(one.outcomes)
    return [Minute(at, found[at]) for at in sorted(found)][-MINUTES:]
