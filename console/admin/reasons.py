"""Why the jobs of a submission failed, grouped; of a large one only some jobs are read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

from redis import Redis

from config.settings import Settings
from console.admin.dead_letters import reason_key
from console.admin.report import JobReport, Row
from console.admin.steering import accounts_of_submission
from console.admin.submissions import View

# How many ended jobs are read, about; each takes about 50 us.
MAX_JOBS: Final = 2000
# How many groups, and how many of the jobs, are kept for showing.
MAX_REASONS: Final = 50
MAX_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class Reason:
    """Jobs that failed with the same code and sentence; `key` is short and names no person."""

    key: str
    code: str
    message: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why jobs failed: the most frequent reasons first, and the first of the jobs.

    `looked` is how many ended jobs were read; with `is_whole`, all that failed are among them.
    """

    groups: list[Reason]
    rows: list[Row]
    looked: int
    is_whole: bool

    def named(self, key: str) -> Reason | None:
        """Return the group with this key."""
        return next((one for one in self.groups if one.key == key), None)


def read_reasons(store: Redis, settings: Settings, found: View, *, key: str = "") -> Reasons:
    """Read why jobs of a submission failed; with a `key`, list the jobs of that group.

    Of more than MAX_JOBS jobs about so many are read, evenly from the first to the last. Raises
    StoreError and NotKept.
    """
    every = math.ceil(found.ended / MAX_JOBS) or 1
    accounts = accounts_of_submission(store, settings, found.about)
    report = JobReport(
        store, accounts, found.submission_id, seconds=settings.dedupe_seconds, every=every
    )
    counts: Counter[tuple[str, str]] = Counter()
    rows: list[Row] = []
    looked = failed = 0
    for row in report.rows() if found.failed else ():
        looked += 1
        if row.code is None:
            continue
        group = row.code, row.reason or ""
        counts[group] += 1
        failed += 1
        if len(rows) < MAX_ROWS and key in {"", reason_key(*group)}:
            rows.append(row)
        if failed == found.failed:
            break
    return Reasons(
        groups=[
            Reason(reason_key(*group), *group, count)
            for group, count in counts.most_common(MAX_REASONS)
        ],
        rows=rows,
        looked=looked,
        is_whole=every == 1 or failed >= found.failed,
    )
