"""The names of the task, the exchange and the queues: the only place that spells them."""

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
    """Name the jobs queue that holds the jobs of one account alone."""
    return f"{JOBS_QUEUE}.{account_id}"
