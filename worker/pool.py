"""The pool: threads that take jobs from a queue.

Celery's own thread pool makes a future for every task, with locks and conditions. Here nobody needs
it: a delivery is settled by its task.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from celery import signals
from celery.concurrency.base import BasePool

Call = tuple[Callable[..., object], Sequence[Any]]
log = structlog.get_logger()


class TaskPool(BasePool):
    """A thread for each slot of the worker, started when it is first needed."""

    body_can_be_buffer = True
    signal_safe = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        # An entry for each call that has not ended; a deque, because changing it needs no lock.
        self._begun: deque[None] = deque()

    @property
    def busy(self) -> int:
        """How many threads are busy."""
        return min(len(self._begun), int(self.limit or 0))

    def on_apply(
        self, target: Callable[..., object], args: Sequence[Any], *_: Any, **__: Any
    ) -> None:
        """Queue a call for the next free thread."""
        self._begun.append(None)
        self._calls.put((target, args))
        if len(self._threads) < min(len(self._begun), self.limit):
            thread = threading.Thread(
                target=self._work, name=f"slot-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def on_start(self) -> None:
        """Send the signal that Celery's process pools send for each of their processes."""
        _, hostname = self.options.get("initargs") or (None, None)
        signals.worker_process_init.send(sender=hostname)

    def on_stop(self) -> None:
        """Wait until every thread has finished its job."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (task := self._calls.get()) is not None:
            target, args = task
            try:
                target(*args)
            except Exception:
                log.exception("task.failed")
            self._begun.pop()
