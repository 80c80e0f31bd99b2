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
# How often the ledger is asked about what is not done yet, in seconds.
POLL_SECONDS: Final = 0.25

# Before the outcome of a job that had it before it was submitted.
ALREADY: Final = "already:"
CONFLICT: Final = "failed:conflict"


@dataclass(frozen=True, slots=True)
class Sent:
    """A job that was submitted: where the ledger has it, and its content.

    `before` is the outcome that it had already, empty for nearly all: such a job is not done again.
    `label` is the submission under which it had it.
    """

    account_id: str
    job_id: str
    digest: str
    before: str = ""
    label: str = ""


class NotKept(Exception):
    """What was submitted cannot be kept until its outcome is there; the text says why."""


class Submitted:
    """Every job that was submitted, on disk. Every use can raise NotKept."""

    def __init__(self) -> None:
        with _on_disk():
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at exit
        self.count = 0

    def close(self) -> None:
        """Give the disk's space back."""
        with suppress(OSError):
            self._file.close()

    def add(self, job: Sent) -> None:
        """Note one more."""
        with _on_disk():
            self._file.write(json.dumps(astuple(job)) + "\n")
        self.count += 1

    def batches(self) -> Iterator[list[Sent]]:
        """Give them back in their order, some at a time."""
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
    """Count the jobs by outcome: `created`, `reused`, `failed:<code>`, or `waiting`.

    With `already:` before it where the job had that outcome before it was submitted.
    Returns once every job has one, or at the moment `until` of the monotonic clock; `progress` is
    told how many have one. Raises StoreError.
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
    """Note of jobs that are about to be submitted which are done already. Raises StoreError."""
    found = _look_up(store, jobs)
    return [
        job if outcome in {"", CONFLICT} else replace(job, before=outcome, label=_label(message))
        for job, (outcome, message) in zip(jobs, found, strict=True)
    ]


def outcomes_of(store: Redis, jobs: Sequence[Sent]) -> list[str]:
    """Look the outcomes of jobs up; empty for those that have none yet. Raises StoreError."""
    return [outcome for outcome, _ in _look_up(store, jobs)]


def _look_up(store: Redis, jobs: Sequence[Sent]) -> list[tuple[str, Mapping[str, Any]]]:
    """Look the outcomes of jobs up, each with the message that says so."""
    endings = read_endings(store, [(job.account_id, job.job_id) for job in jobs])
    return [(_outcome(job, one), one.outcome) for job, one in zip(jobs, endings, strict=True)]


def _label(outcome: Mapping[str, Any]) -> str:
    """Return the submission that an outcome is of."""
    return str((outcome.get("job") or outcome).get("submissionId") or "")


def _outcome(job: Sent, ending: Ending) -> str:
    if not ending.is_of(job.digest):
        # The record is another job's, which had this id first.
        return CONFLICT
    if not ending.key:
        return ""
    if ending.key == FORGOTTEN:
        return FORGOTTEN
    if ending.key == FAILED_KEY:
        return f"failed:{ending.outcome['error']['code']}"
    return "created" if ending.key == CREATED_KEY else "reused"
