"""The names of the task, the exchange and the queues: the only place that spells them."""

from __future__ import annotations

from typing import Final

from kombu import Exchange, Queue, binding

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

# A message that a broker has handed out this often without an answer is poison. The ledger gives
# such a job up first, with a reason; this is RabbitMQ's own backstop for what never reaches it.
DELIVERY_LIMIT: Final = 100

# Results and dead letters are nobody's to drop: RabbitMQ 4 would, after 20 deliveries that were not
# acknowledged, and every look at them is one.
PATIENT_DELIVERY_LIMIT: Final = 1_000_000_000

# Celery's native delayed delivery on RabbitMQ needs a topic exchange and quorum queues.
JOBS_EXCHANGE: Final = Exchange(JOBS_EXCHANGE_NAME, type="topic", durable=True)
EXCHANGE: Final = Exchange(EXCHANGE_NAME, type="topic", durable=True)


def account_queue(account_id: str) -> str:
    """Name the jobs queue that holds the jobs of one account alone."""
    return f"{JOBS_QUEUE}.{account_id}"


def jobs_queue(name: str = JOBS_QUEUE) -> Queue:
    """Declare a jobs queue; what its broker gives up on goes to the dead letters."""
    return Queue(
        name,
        JOBS_EXCHANGE,
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": EXCHANGE_NAME,
            "x-dead-letter-routing-key": FAILED_KEY,
            # At-least-once dead lettering asks for reject-publish (RabbitMQ, quorum queues).
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def results_queue() -> Queue:
    """Declare the queue of results, which the SEND stage consumes."""
    return _outgoing(RESULTS_QUEUE, (CREATED_KEY, REUSED_KEY))


def dead_letters_queue() -> Queue:
    """Declare the queue of dead letters."""
    return _outgoing(DEAD_LETTERS_QUEUE, (FAILED_KEY,))


def _outgoing(name: str, routing_keys: tuple[str, ...]) -> Queue:
    return Queue(
        name,
        durable=True,
        bindings=[binding(EXCHANGE, routing_key=key) for key in routing_keys],
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": PATIENT_DELIVERY_LIMIT,
        },
    )
