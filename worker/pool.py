"""The pool: threads that take deliveries off a queue.

Celery's own pool of threads makes a future for every task, with its locks and conditions. Here
nobody waits for one: a delivery says itself what became of it.
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
    """As many threads as the worker has slots, each started when no other is free."""

    body_can_be_buffer = True
    signal_safe = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        # One for each call that has not ended. Unlike a number it needs no lock among threads.
        self._begun: deque[None] = deque()

    @property
    def busy(self) -> int:
        """How many threads have something to do."""
        return min(len(self._begun), int(self.limit or 0))

    def on_apply(
        self, target: Callable[..., object], args: Sequence[Any], *_: Any, **__: Any
    ) -> None:
        """Have a function called by the next thread that is free."""
        self._begun.append(None)
        self._calls.put((target, args))
        if len(self._threads) < min(len(self._begun), self.limit):
            thread = threading.Thread(
                target=self._work, name=f"slot-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def on_start(self) -> None:
        """Say that the process is there which runs the tasks, as Celery's pools of processes do."""
        _, hostname = self.options.get("initargs") or (None, None)
        signals.worker_process_init.send(sender=hostname)

    def on_stop(self) -> None:
        """Let every thread finish what it is doing."""
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
