"""An ordinary Celery application of a user's, which takes outcomes; nothing of Overture is in it.

BROKER_URL says where from, TAKEN names the file to which it writes what it was called with.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Queue

app = Celery("outcomes", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_queues=[
        Queue(name, no_declare=True, queue_arguments={"x-queue-type": "quorum"})
        for name in ("conversations.results", "conversations.dead-letters")
    ],
)


def note(request: Any, outcome: dict[str, Any]) -> None:
    """Write down which call it was, and what was in it."""
    entry = {"task": request.task, "id": request.id, "outcome": outcome}
    with Path(os.environ["TAKEN"]).open("a") as file:
        file.write(json.dumps(entry) + "\n")


@app.task(name="sender.send", bind=True)
def send(self: Any, result: dict[str, Any]) -> None:
    """Take a result."""
    note(self.request, result)


@app.task(name="letters.take", bind=True)
def take(self: Any, letter: dict[str, Any]) -> None:
    """Take a dead letter."""
    note(self.request, letter)
