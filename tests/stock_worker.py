"""A worker process of plain Celery on RabbitMQ, to show what ours is spared."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterable
from pathlib import Path

from celery import Celery

from tests.celery_worker import CeleryWorker
from tests.waiting import wait_until

# A stack is written innermost first; the main thread's ends with this.
OUTERMOST = " in _run_module_as_main\n"


class StockWorker(CeleryWorker):
    """One worker of `stock_worker_app`, with two threads and a classic queue of its own.

    `settings` and `options` are Celery's.
    """

    def __init__(self, url: str, folder: Path, *options: str, **settings: object) -> None:
        self._queue = folder.name
        self._stack = folder / "stack"
        variables = {
            "BROKER_URL": url,
            "QUEUE": self._queue,
            "SETTINGS": json.dumps(settings),
            "STACK": self._stack,
        }
        super().__init__("stock_worker_app", folder, variables, "-l", "info", *options, threads=2)

    def enqueue(self, url: str, numbers: Iterable[int], *, seconds: float = 0.01) -> None:
        """Enqueue jobs for it that take so long; the URL need not be the one it has itself."""
        with Celery(broker=url, set_as_current=False) as producer:
            for number in numbers:
                producer.send_task("job", args=[number, seconds], queue=self._queue)

    def loop_is_in(self, function: str) -> bool:
        """Tell whether the thread of the event loop is just now in this function."""
        assert self.process.poll() is None, f"it ended with {self.process.returncode}"
        self._stack.write_bytes(b"")
        self.signal(signal.SIGUSR2)
        # What was caught while a function was being called may end early: then another is wanted.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: OUTERMOST in self._stack.read_text(), "the whole", seconds=1)
        stack = self._stack.read_text()
        return OUTERMOST in stack and f" in {function}\n" in stack
