"""What is told of a run at a limit: rows, times to adapt, and lines of a chart."""

from __future__ import annotations

import os

from benchmarks.chart import Line
from benchmarks.limit_pool import Seen


class Report:
    """Prints rows as they come."""

    def __init__(self) -> None:
        print(
            f"{'scenario':34} {'strategy':18} {'workers':>7} {'goodput':>8} {'refused':>8}  notes"
        )

    def row(
        self,
        scenario: str,
        strategy: str,
        workers: int,
        goodput: float | None,
        refused: float | None,
        notes: str = "",
    ) -> None:
        good = "" if goodput is None else f"{goodput:.3f}"
        bad = "" if refused is None else f"{100 * refused:.2f} %"
        load = os.getloadavg()[0]
        print(
            f"{scenario:34} {strategy:18} {workers:7} {good:>8} {bad:>8}  {notes} ({load:.1f})",
            flush=True,
        )


def calm_after(seen: Seen, first: int, last: int) -> int | None:
    """Return after how many seconds the refused calls stay below one in a hundred."""
    return next((s - first for s in range(first, last) if seen.refused_share(s, last) < 0.01), None)


def back_after(seen: Seen, first: int, limit: float) -> int | None:
    """Return after how many seconds five seconds have nine tenths of the limit."""
    whole = range(first, len(seen.accepted) - 5)
    return next((s - first for s in whole if seen.goodput(s, s + 5) >= 0.9 * limit), None)


def accepted_line(name: str, seen: Seen) -> Line:
    """Draw the accepted calls of each second."""
    return Line(name, list(enumerate(seen.accepted)))


def refused_line(name: str, seen: Seen) -> Line:
    """Draw the refused calls of each second."""
    return Line(name, list(enumerate(seen.refused)))
