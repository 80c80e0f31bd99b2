"""Finishing a job in the ledger, for tests that wait for it."""

from __future__ import annotations

import queue
from typing import Any

from tasks.messages.job import Job
from tasks.store.answers import Lost, Recorded
from tasks.store.ledger import Ledger

ANSWER_SECONDS = 10.0


def finish(ledger: Ledger, job: Job, owner: str, **ending: Any) -> Recorded | Lost:
    """Record an outcome and return what the ledger says to it."""
    answers: queue.SimpleQueue[Recorded | Lost] = queue.SimpleQueue()
    ledger.finish(job, owner, **ending, then=answers.put)
    return answers.get(timeout=ANSWER_SECONDS)
