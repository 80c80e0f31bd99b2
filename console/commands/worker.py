"""`overture worker`: runs one worker process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from config.logs import configure_logging
from config.names import JOBS_QUEUE
from config.streams import write_in_background
from console.output import Problem
from console.params import JobsQueues
from console.servers import demand_queue, reach, read_settings
from tasks.liveperson.environment import UnusableEnvironment, proxy_for
from tasks.liveperson.transport import tls_context
from tasks.store.replies import report, report_broker
from tasks.store.retrying import retry_at_start
from tasks.store.rights import STORE_RIGHTS, missing_rights
from worker.run import on_signals, run_worker, secrets_of
from worker.serving import CannotServe


@click.command()
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
    if not settings.accounts:
        raise Problem(
            "no account is configured: set OVERTURE_ACCOUNT_ID, OVERTURE_CLIENT_ID and "
            "OVERTURE_CLIENT_SECRET, or [accounts.<id>] in overture.toml"
        )
    for queue in queues or ():
        demand_queue(settings, queue)
    _demand_health_file(settings.health_file)
    # Until the worker has jobs to finish, there is nothing to wait for.
    on_signals(lambda *_: sys.exit(0))
    configure_logging(
        level=settings.log_level, log_format=settings.log_format, secrets=secrets_of(settings)
    )
    try:
        proxy_for(settings.domain_api_url)
        tls_context()
    except UnusableEnvironment as error:
        raise Problem(str(error)) from None
    with reach(settings, waits=True) as within:
        # The broker is called for its queues; the store would be called by the first job alone.
        retry_at_start(within.store.ping, report)
        missing = retry_at_start(lambda: missing_rights(within.store, STORE_RIGHTS), report)
        _demand_rights("store", missing)
        _demand_rights("broker", retry_at_start(within.broker.missing_rights, report_broker))
        try:
            return run_worker(
                settings,
                broker=within.broker,
                store_url=within.store_url,
                concurrency=concurrency,
                queues=queues or None,
            )
        except CannotServe as error:
            raise Problem(str(error)) from None


def _demand_rights(what: str, missing: Sequence[str] | None) -> None:
    """Raise Problem where the server's user lacks a right that a job would need some day."""
    if missing:
        raise Problem(
            f"the {what}'s user lacks {' '.join(missing)}; add this with ACL SETUSER and its name"
        )


def _demand_health_file(path: Path | None) -> None:
    """Touch it once: later on a probe would end the worker, and nobody would say why."""
    try:
        if path is not None:
            path.touch()
    except OSError as error:
        raise Problem(
            f"OVERTURE_HEALTH_FILE: {path} cannot be written: {error.strerror}; name a file in a "
            "folder that exists and is writable"
        ) from None
