"""The last hour as charts: numbers in, paths of SVG out; nothing here reads or asks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from console.admin.hour import MINUTES, Minute, added
from tasks.messages.outgoing import rfc3339

# Of a chart, in its own units: each minute has STEP, of which BAR is drawn.
STEP: Final = 10
BAR: Final = 8
HEIGHT: Final = 100.0
# A chart of its own have so many accounts, those with the most jobs.
MAX_ACCOUNTS: Final = 3


@dataclass(frozen=True, slots=True)
class Series:
    """One outcome in a chart; `kind` is its colour, `path` its bars."""

    words: str
    kind: str
    total: int
    path: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar for each minute, one outcome upon the other; the full height stands for `most`."""

    words: str
    most: int
    series: list[Series]


@dataclass(frozen=True, slots=True)
class Hour:
    """The last hour of an account, or of all: charts, and the same numbers as rows."""

    name: str
    charts: list[Chart]
    rows: list[tuple[str, int, int, int]]


def hours(found: Mapping[str, Sequence[Minute]]) -> tuple[list[Hour], int]:
    """Draw all accounts together and then each; also return how many have no chart of their own.

    Empty if no job has ended.
    """
    ended = {name: sum(sum(one.outcomes.values()) for one in hour) for name, hour in found.items()}
    busy = sorted((name for name in ended if ended[name]), key=lambda name: (-ended[name], name))
    if len(busy) < 2:
        return [_hour(f"account {name}", found[name]) for name in busy], 0
    each = [_hour(f"account {name}", found[name]) for name in busy[:MAX_ACCOUNTS]]
    return [_hour("all accounts", added(found.values())), *each], len(busy) - len(each)


def _hour(name: str, hour: Sequence[Minute]) -> Hour:
    created, reused, failed = zip(
        *((one.created, one.reused, one.failed) for one in hour), strict=True
    )
    opened = _chart("Conversations", {"created": created, "reused": reused})
    lost = _chart("Failures", {"failed": failed})
    rows = [(_moment(one.at), one.created, one.reused, one.failed) for one in reversed(hour)]
    return Hour(name, [one for one in (opened, lost) if one.series], rows)


def _chart(words: str, counts: Mapping[str, Sequence[int]]) -> Chart:
    most = _round(max(map(sum, zip(*counts.values(), strict=True))))
    below = [0] * MINUTES
    series = []
    for name, each in counts.items():
        if any(each):
            kind = "failed0" if name == "failed" else name
            series.append(Series(name, kind, sum(each), "".join(_bars(below, each, most))))
            below = [low + high for low, high in zip(below, each, strict=True)]
    return Chart(words, most, series)


def _bars(below: Sequence[int], counts: Sequence[int], most: int) -> Iterator[str]:
    for number, (low, count) in enumerate(zip(below, counts, strict=True)):
        if count:
            height = round(HEIGHT * count / most, 1)
            yield f"M{STEP * number} {HEIGHT - HEIGHT * low / most:.1f}v-{height}h{BAR}v{height}z"


def _round(most: int) -> int:
    """Return the next number that begins with 1, 2 or 5 and goes on with zeros."""
    size = int(10 ** math.floor(math.log10(most or 1)))
    return next(size * one for one in (1, 2, 5, 10) if size * one >= most)


def _moment(at: int) -> str:
    return rfc3339(datetime.fromtimestamp(at, UTC))
