"""What the jobs of the tests' own Celery applications write down, and how a test reads it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path


def note(*words: object) -> None:
    """Write down what happened, on disk, whatever becomes of this process; EVENTS is the file."""
    with Path(os.environ["EVENTS"]).open("a") as events:
        events.write(f"{' '.join(map(str, words))} {os.getpid()}\n")
        events.flush()
        os.fsync(events.fileno())


class Events:
    """What the workers of a test wrote down."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "events"

    def count(self, kind: str) -> Counter[int]:
        """Return how often each job started, or ended."""
        return Counter(int(words[1]) for words in self._lines() if words[0] == kind)

    def ended(self) -> set[int]:
        """Return the jobs that were done."""
        return set(self.count("end"))

    def redelivered(self) -> set[int]:
        """Return the jobs that said they were not new."""
        return {int(words[1]) for words in self._lines() if words[2] == "again"}

    def _lines(self) -> list[list[str]]:
        text = self.file.read_text() if self.file.exists() else ""
        return [line.split() for line in text.splitlines()]
