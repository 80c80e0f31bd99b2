"""`overture worker`: runs one worker process."""

from __future__ import annotations

import sys

import click

from config.names import JOBS_QUEUE
from config.streams import write_in_background
from console.help import examples
from console.output import Problem
from console.params import JobsQueues
from console.servers import demand_queue, open_servers, read_settings
from worker.app import Setup, queues_of
from worker.run import run_worker
from worker.starting import CannotStart, check, check_broker, check_store, log_as_told
from worker.stop import on_signals


@click.command(
    epilog=examples(
        "overture worker", "overture worker --concurrency 100 --queues conversations.jobs"
    )
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Jobs to handle at a time.  [default: OVERTURE_CONCURRENCY]",
)
@click.option(
    "--queues",
    type=JobsQueues(),
    help=f"Jobs queues to consume.  [default: {JOBS_QUEUE} and one per account]",
)
def command(*, concurrency: int | None, queues: tuple[str, ...] | None) -> int:
    """Run one worker process until SIGTERM, SIGHUP or Ctrl-C.

    On the first signal the worker drains: it takes no new job, finishes the jobs in hand and exits
    with 0. On a second SIGTERM or Ctrl-C it hands them back at once.
    """
    write_in_background()
    settings = read_settings()
    try:
        check(settings)
        for queue in queues or ():
            demand_queue(settings, queue)
        # The worker has no jobs yet that it would have to finish.
        on_signals(lambda *_: sys.exit(0))
        log_as_told(settings)
        with open_servers(settings, waits=True) as servers:
            # The broker is checked by declaring queues; the store would be first used by a job.
            check_store(servers.store, replicas=settings.store_replicas)
            check_broker(servers.broker, queues or queues_of(settings))
            setup = Setup(settings=settings, broker=servers.broker, store_url=servers.store_url)
            return run_worker(setup, concurrency=concurrency, queues=queues or None)
    except CannotStart as error:
        raise Problem(*error.args) from None
