"""A worker process of plain Celery on RabbitMQ, to show what ours is spared."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from celery import Celery

from tests.redis_worker import ROOT, Events
from tests.waiting import wait_until

COMMAND = "celery -A tests.stock_worker_app worker -P threads -l info"
# A stack is written innermost first; the main thread's ends with this.
OUTERMOST = " in _run_module_as_main\n"


class StockWorker:
    """One worker with a pool of two threads and a classic queue of its own.

    `settings` and `options` are Celery's.
    """

    def __init__(self, url: str, folder: Path, *options: str, **settings: object) -> None:
        self.events = Events(folder)
        self._queue = folder.name
        self._stack = folder / "stack"
        surroundings = {
            "BROKER_URL": url,
            "QUEUE": self._queue,
            "SETTINGS": json.dumps(settings),
            "EVENTS": str(folder / "events"),
            "STACK": str(self._stack),
            "PYTHONPATH": str(ROOT),
        }
        without = ["--concurrency=2", "--without-gossip", "--without-mingle", *options]
        with (folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *COMMAND.split(), *without],
                cwd=ROOT,
                env={**os.environ, **surroundings},
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    def enqueue(self, url: str, numbers: Iterable[int], *, seconds: float = 0.01) -> None:
        """Enqueue jobs for it that take so long; the URL need not be the one it has itself."""
        with Celery(broker=url, set_as_current=False) as producer:
            for number in numbers:
                producer.send_task("job", args=[number, seconds], queue=self._queue)

    def loop_is_in(self, function: str) -> bool:
        """Tell whether the thread of the event loop is just now in this function."""
        assert self.process.poll() is None, f"it ended with {self.process.returncode}"
        self._stack.write_bytes(b"")
        self.process.send_signal(signal.SIGUSR2)
        # What was caught while a function was being called may end early: then another is wanted.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: OUTERMOST in self._stack.read_text(), "the whole", seconds=1)
        stack = self._stack.read_text()
        return OUTERMOST in stack and f" in {function}\n" in stack
