"""Waiting for the outcomes of submitted jobs, however many, in constant memory."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from itertools import islice
from typing import Any, Final

from redis import Redis

from config.names import CREATED_KEY, FAILED_KEY
from console.admin.records import FORGOTTEN, Ending, read_endings

BATCH_JOBS: Final = 500
# How often the ledger is asked about jobs without an outcome.
POLL_SECONDS: Final = 0.25

# The prefix of an outcome that a job had before it was submitted.
ALREADY: Final = "already:"
CONFLICT: Final = "failed:conflict"


@dataclass(frozen=True, slots=True)
class Sent:
    """A submitted job, and its outcome if it had one before.

    Such a job is not done again: `before` is its outcome, `label` the submission that it was in.
    """

    account_id: str
    job_id: str
    digest: str
    before: str = ""
    label: str = ""


class NotKept(Exception):
    """The submitted jobs cannot be kept on disk; the text says why."""


class Submitted:
    """All submitted jobs, on disk. Its methods can raise NotKept."""

    def __init__(self) -> None:
        with _on_disk():
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at exit
        self.count = 0

    def close(self) -> None:
        """Delete the temporary file."""
        with suppress(OSError):
            self._file.close()

    def add(self, job: Sent) -> None:
        """Add a job."""
        with _on_disk():
            self._file.write(json.dumps(astuple(job)) + "\n")
        self.count += 1

    def batches(self) -> Iterator[list[Sent]]:
        """Yield the jobs in their order, some at a time."""
        with _on_disk():
            self._file.seek(0)
        while batch := self._batch():
            yield batch

    def _batch(self) -> list[Sent]:
        with _on_disk():
            lines = list(islice(self._file, BATCH_JOBS))
        return [Sent(*json.loads(line)) for line in lines]


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotKept(
            f"the submitted jobs cannot be kept in {tempfile.gettempdir()}: {error.strerror}; "
            "set TMPDIR to another folder, or leave --wait out"
        ) from None


def wait_for_outcomes(
    store: Redis,
    submitted: Submitted,
    *,
    until: float,
    progress: Callable[[int], None],
) -> Counter[str]:
    """Wait for all outcomes, and count them: `created`, `reused`, `failed:<code>`, or `waiting`.

    An outcome that a job had before it was submitted begins with `already:`. Returns at the latest
    at the time `until` of the monotonic clock; `progress` is called with the number of outcomes.
    Raises StoreError.
    """
    outcomes: Counter[str] = Counter()
    for batch in submitted.batches():
        outcomes.update(f"{ALREADY}{job.before}" for job in batch if job.before)
        waiting = [job for job in batch if not job.before]
        while waiting:
            found = outcomes_of(store, waiting)
            outcomes.update(filter(None, found))
            progress(outcomes.total())
            waiting = [job for job, outcome in zip(waiting, found, strict=True) if not outcome]
            if waiting and time.monotonic() >= until:
                outcomes["waiting"] += len(waiting)
                break
            if waiting:
                time.sleep(POLL_SECONDS)
    return outcomes


def with_outcomes_before(store: Redis, jobs: Sequence[Sent]) -> list[Sent]:
    """Return jobs with the outcomes that they have before they are sent. Raises StoreError."""
    found = _look_up(store, jobs)
    return [
        job if outcome in {"", CONFLICT} else replace(job, before=outcome, label=_label(message))
        for job, (outcome, message) in zip(jobs, found, strict=True)
    ]


def outcomes_of(store: Redis, jobs: Sequence[Sent]) -> list[str]:
    """Look up the outcomes of jobs; empty for those that have none yet. Raises StoreError."""
    return [outcome for outcome, _ in _look_up(store, jobs)]


def _look_up(store: Redis, jobs: Sequence[Sent]) -> list[tuple[str, Mapping[str, Any]]]:
    """Look up the outcomes of jobs, each with its message."""
    endings = read_endings(store, [(job.account_id, job.job_id) for job in jobs])
    return [(_outcome(job, one), one.outcome) for job, one in zip(jobs, endings, strict=True)]


def _label(outcome: Mapping[str, Any]) -> str:
    """Return the submissionId in an outcome."""
    return str((outcome.get("job") or outcome).get("submissionId") or "")


def _outcome(job: Sent, ending: Ending) -> str:
    if not ending.is_of(job.digest):
        # The record is another job's with the same id.
        return CONFLICT
    if not ending.key:
        return ""
    if ending.key == FORGOTTEN:
        return FORGOTTEN
    if ending.key == FAILED_KEY:
        return f"failed:{ending.outcome['error']['code']}"
    return "created" if ending.key == CREATED_KEY else "reused"
