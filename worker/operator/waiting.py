"""Waiting for the outcomes of submitted jobs, however many, in constant memory."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final

from redis import Redis

from config.queues import CREATED_KEY, FAILED_KEY
from worker.store.connection import Keys, text

BATCH_JOBS: Final = 500
# How often the ledger is asked about what is not done yet, in seconds.
LOOK_SECONDS: Final = 0.25

# A job's account and id.
JobKey = tuple[str, str]


class NotKept(Exception):
    """What was submitted cannot be kept until its outcome is there; the text says why."""


class Submitted:
    """The account and id of every job that was submitted, on disk. Every use can raise NotKept."""

    def __init__(self) -> None:
        with _on_disk():
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at exit
        self.count = 0

    def close(self) -> None:
        """Give the disk's space back."""
        with suppress(OSError):
            self._file.close()

    def add(self, account_id: str, job_id: str) -> None:
        """Note one more."""
        with _on_disk():
            self._file.write(json.dumps([account_id, job_id]) + "\n")
        self.count += 1

    def batches(self) -> Iterator[list[JobKey]]:
        """Give them back in their order, some at a time."""
        with _on_disk():
            self._file.seek(0)
        while batch := self._batch():
            yield batch

    def _batch(self) -> list[JobKey]:
        with _on_disk():
            lines = list(islice(self._file, BATCH_JOBS))
        return [(account_id, job_id) for account_id, job_id in map(json.loads, lines)]


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

    Returns once every job has one, or at the moment `until` of the monotonic clock; `progress` is
    told how many have one. Raises StoreError.
    """
    outcomes: Counter[str] = Counter()
    for batch in submitted.batches():
        waiting = batch
        while waiting:
            found = outcomes_of(store, waiting)
            done = [job for job in waiting if found[job]]
            outcomes.update(found[job] for job in done)
            progress(outcomes.total())
            waiting = [job for job in waiting if not found[job]]
            if waiting and time.monotonic() >= until:
                outcomes["waiting"] += len(waiting)
                break
            if waiting:
                time.sleep(LOOK_SECONDS)
    return outcomes


def outcomes_of(store: Redis, jobs: list[JobKey]) -> dict[JobKey, str]:
    """Look the outcomes of jobs up; empty for those that have none yet. Raises StoreError."""
    with store.pipeline(transaction=False) as pipe:
        for account_id, job_id in jobs:
            pipe.hmget(Keys(account_id).job(job_id), ["state", "key", "outcome"])
        answers = pipe.execute()
    return {job: _outcome(*map(text, answer)) for job, answer in zip(jobs, answers, strict=True)}


def _outcome(state: str, key: str, body: str) -> str:
    # What is recorded will be published: nothing can change it any more.
    if state not in {"done", "published"}:
        return ""
    if key == FAILED_KEY:
        return f"failed:{json.loads(body)['error']['code']}"
    return "created" if key == CREATED_KEY else "reused"
