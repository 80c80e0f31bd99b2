"""One worker process, from its start to the end of its drain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.app import Setup, app


def run_worker(
    setup: Setup, *, concurrency: int | None = None, queues: Sequence[str] | None = None
) -> int:
    """Work until a signal; returns the exit status.

    The first SIGTERM, SIGINT or SIGHUP drains: nothing new is taken, and what is in hand is
    finished or handed back within `drain_timeout`. A second SIGTERM or SIGINT hands everything back
    at once, as SIGQUIT does.
    """
    app.use(setup)
    worker: Any = app.Worker(concurrency=concurrency, queues=queues, quiet=True)
    worker.start()
    return int(worker.exitcode or 0)
