"""The names of the task, the exchanges and the queues; they are written only here."""

from __future__ import annotations

from typing import Final

TASK_NAME: Final = "conversations.create"

JOBS_QUEUE: Final = "conversations.jobs"
RESULTS_QUEUE: Final = "conversations.results"
DEAD_LETTERS_QUEUE: Final = "conversations.dead-letters"

JOBS_EXCHANGE_NAME: Final = "conversations.jobs"
EXCHANGE_NAME: Final = "conversations"

CREATED_KEY: Final = "conversation.created"
REUSED_KEY: Final = "conversation.reused"
FAILED_KEY: Final = "conversation.failed"

MAX_PRIORITY: Final = 9


def account_queue(account_id: str) -> str:
    """Return the jobs queue of one account."""
    return f"{JOBS_QUEUE}.{account_id}"
