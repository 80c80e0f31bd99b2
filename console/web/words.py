"""What the pages say in words, and how their numbers look; nothing here reads or asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from config.names import JOBS_QUEUE
from console.admin.overview import AccountView, Overview
from console.admin.submissions import FAILED, View
from console.output import counted
from console.tables import HOLDS, held_by, lesson
from tasks.store.limits import Holds

# What an account waits for in its everyday work is no hold.
HELD: Final[frozenset[Holds]] = frozenset({"pause", "circuit", "credentials"})
# Of a bar, in its own units.
WIDTH: Final = 1000.0
NOTHING: Final = "\u2013"
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Sentence:
    """How things stand; `sign` is `well`, `idle`, `paused` or `trouble`, and is shown as a word."""

    sign: str
    text: str


def waiting(overview: Overview) -> int:
    """Count the jobs that wait for a worker or for their time."""
    ready = (one.ready for one in overview.queues if one.name.startswith(JOBS_QUEUE))
    return sum(ready) + overview.delayed


def sentence(overview: Overview) -> Sentence:
    """Say how everything stands: what is worst comes first, and comes alone."""
    many = waiting(overview)
    jobs = f"{counted(many, 'job').replace(str(many), f'{many:,}')} " + (
        "waits" if many == 1 else "wait"
    )
    if overview.pauses and (everything := overview.pauses[0]).submission_id is None:
        return Sentence("paused", f"{capital(everything.sentence())}; {jobs}, none is lost.")
    if many and not overview.workers:
        return Sentence("trouble", f"No worker runs; {jobs}. Start one: overture worker.")
    for account in overview.accounts:
        standing = account.standing
        if standing.holds in HELD:
            by = HOLDS[standing.holds].format(seconds=standing.seconds, cause=standing.cause)
            return Sentence(
                "trouble", f"Account {account.account_id} is held by {by}; {jobs}, none is lost."
            )
    for worker, said in overview.troubles.items():
        return Sentence("trouble", f"Worker {worker} is held up: {said}; {jobs}.")
    for account in overview.accounts:
        if account.standing.holds == "paused":
            return Sentence("paused", f"{capital(str(account.standing.cause))}; {jobs}.")
    workers = counted(len(overview.workers), "worker")
    if not many:
        ready = f"{workers} ready" if overview.workers else "no worker runs"
        return Sentence("idle", f"Nothing waits; {ready}.")
    rate = sum(one.standing.accepted for one in overview.accounts)
    most = [one.max_rate for one in overview.accounts]
    of = f" of {sum(filter(None, most)):g}" if most and None not in most else ""
    left = f", {about(many / rate)} at this pace" if rate else ""
    aside = len({one.submission_id for one in overview.pauses})
    paused = f" {counted(aside, 'submission')} {'is' if aside == 1 else 'are'} paused."
    text = f"All well: {rate:.3g}{of} conversations a second; {jobs}{left}."
    return Sentence("well", text + paused * bool(aside))


def about(seconds: float) -> str:
    """Write a time roughly."""
    for size, noun in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= 1.5 * size:
            return f"about {round(seconds / size)} {noun}s"
    return "about a minute" if seconds >= MINUTE / 2 else "less than a minute"


def account_row(account: AccountView) -> dict[str, Any]:
    """Lay an account out for a table."""
    standing, outcomes = account.standing, account.outcomes
    known = [one for one in (account.max_rate, standing.learned_rate) if one]
    return {
        "id": account.account_id,
        "created": outcomes.get("created", 0),
        "reused": outcomes.get("reused", 0),
        "failed": sum(count for name, count in outcomes.items() if name.startswith(FAILED)),
        "rate": standing.accepted,
        "ceiling": account.max_rate,
        "learned": standing.learned_rate,
        "in_force": min(known, default=None),
        "in_flight": standing.in_flight,
        "most_in_flight": account.max_in_flight,
        "learned_in_flight": standing.learned_in_flight,
        "is_set": standing.is_set,
        "held_by": held_by(standing),
        "is_held": standing.holds in HELD or standing.holds == "paused",
        "lesson": lesson(standing),
    }


def uptime(seconds: float | None) -> str:
    """Write how long a worker has been running."""
    return NOTHING if seconds is None else str(timedelta(seconds=int(seconds)))


@dataclass(frozen=True, slots=True)
class Part:
    """One outcome of a bar; `start` and `width` are in the bar's units, `kind` is its colour."""

    words: str
    count: int
    percent: float
    start: float
    width: float
    kind: str


def parts(found: View) -> list[Part]:
    """Divide a submission's jobs by what came of them."""
    return list(_parts({**found.outcomes, "waiting": found.waiting}, found.total))


def _parts(counts: Mapping[str, int], total: int) -> Iterator[Part]:
    start, failures = 0.0, 0
    order = {"created": 0, "reused": 1, "waiting": 3}
    for name in sorted(counts, key=lambda one: (order.get(one, 2), one)):
        count = counts[name]
        if not count:
            continue
        width = WIDTH * count / max(1, total)
        kind = name
        if name not in order:
            kind, failures = f"failed{failures % 4}", failures + 1
        words = name.replace(FAILED, "failed: ")
        yield Part(
            words, count, 100 * count / max(1, total), round(start, 2), round(width, 2), kind
        )
        start += width


def capital(text: str) -> str:
    """Begin a text with a capital."""
    return f"{text[:1].upper()}{text[1:]}"
