"""What a run came to: for programs as JSON, for people as a table."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SHOWN: Final = 5
# What does not tell one breakage from another: which worker, how long, how slow; and the mending.
BROKEN: Final = re.compile(
    r" \d+(?=: )|,? for [\d.]+ s|, down for .*| by [\d.]+ s|^.*: back$|^every.*$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of a run; times are in seconds.

    `faults` must hold no sentences; `errors` are lines of the workers' logs that deserve a look.
    """

    seconds: float
    is_settled: bool
    counts: Mapping[str, int]
    outcomes: Mapping[str, int]
    faults: Mapping[str, Sequence[str]]
    exits: Mapping[str, int]
    story: Sequence[tuple[float, str]]
    liveperson: Mapping[str, Any]
    errors: Sequence[str]

    @property
    def is_good(self) -> bool:
        """Tell whether every promise was kept."""
        return self.is_settled and not any(self.faults.values())

    def write(self, path: Path, **about: Any) -> None:
        """Write it as JSON, with what the run was."""
        document = {**about, **dataclasses.asdict(self), "is_good": self.is_good}
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
        path.write_text(f"{text}\n", encoding="utf-8")

    def lines(self) -> Iterator[str]:
        """Write it as a table."""
        done = Counter(filter(None, (BROKEN.sub("", what) for _, what in self.story)))
        yield f"took {self.seconds:.0f} s; {'settled' if self.is_settled else 'NOT SETTLED'}"
        yield from _rows("what was broken", dict(sorted(done.items())))
        yield from _rows("what was counted", self.counts)
        yield from _rows("how it ended", self.outcomes)
        yield from _rows("faults", {name: len(found) for name, found in self.faults.items()})
        for name, found in self.faults.items():
            for sentence in found[:SHOWN]:
                yield f"  {name}: {sentence}"
        if self.errors:
            yield f"{len(self.errors)} lines of the logs deserve a look; the first:"
            yield from (f"  {line[:400]}" for line in self.errors[:SHOWN])
        yield "good" if self.is_good else "NOT GOOD"


def _rows(title: str, rows: Mapping[str, int]) -> Iterator[str]:
    yield f"{title}:"
    for name, number in rows.items():
        yield f"  {number:>8,}  {name}"
