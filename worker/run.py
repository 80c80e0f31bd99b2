"""One worker process, from its start to the end of its drain."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import structlog
from celery import signals
from celery.worker import state

from config.names import JOBS_QUEUE, account_queue
from config.settings import Settings
from config.streams import write_last_lines
from config.urls import passwords_of, public_url
from config.version import VERSION
from tasks.liveperson.environment import proxy_for, proxy_passwords
from tasks.measures import UNMEASURED
from tasks.store.replies import report_broker
from tasks.store.retrying import retry_at_start
from tasks.tracing import UNTRACED, Tracing
from worker.app import create_app
from worker.broker.base import Broker, connect_at_once
from worker.broker.message import bound
from worker.consumer import JobConsumer
from worker.parts import Parts, build, token_seconds
from worker.pool import TaskPool
from worker.serving import CannotServe
from worker.tuning import allow_files, keep_together, relax_collector
from worker.watchdog import Watchdog

if TYPE_CHECKING:
    from worker.pages import WorkerPages

LOOK_SECONDS: Final = 0.1
# What is left after the drain: confirms to await, connections to close, in seconds.
CLOSE_SECONDS: Final = 5.0

log = structlog.get_logger()


def run_worker(
    settings: Settings,
    *,
    broker: Broker,
    store_url: str,
    concurrency: int | None = None,
    queues: Sequence[str] | None = None,
) -> int:
    """Work until a signal ends it; returns the exit status.

    The first SIGTERM, SIGINT or SIGHUP drains: nothing new is taken, what is in hand is finished or
    handed back within `drain_timeout`. A second SIGTERM or SIGINT hands everything back at once.
    Raises what the broker's connection raises, if it cannot be reached at the start, and
    CannotServe.
    """
    if settings.one_processor:
        keep_together()
    names = tuple(queues or (JOBS_QUEUE, *map(account_queue, settings.accounts)))
    slots = allow_files(concurrency or settings.concurrency)
    bound(settings.max_message_bytes)
    retry_at_start(lambda: _declare(broker, {JOBS_QUEUE, *names}), report_broker)
    pages = pages_of(settings)
    parts = build(
        settings,
        broker=broker,
        store_url=store_url,
        concurrency=slots,
        queues=names,
        measures=pages.metrics if pages else UNMEASURED,
        tracing=tracing_of(broker),
    )
    facts = {
        "version": VERSION,
        "python": platform.python_version(),
        "broker": public_url(broker.url),
        "store": public_url(store_url),
        "liveperson": public_url(settings.domain_api_url),
        "proxy": str(proxy_for(settings.domain_api_url) or "none"),
        "accounts": sorted(settings.accounts),
        "queues": names,
        "slots": slots,
    }

    def ready(consumer: object) -> None:
        log.info("worker.ready", **facts)
        signals.worker_ready.send(sender=consumer)

    app = create_app(broker, parts.create, queues=names)
    worker: Any = app.WorkController(
        concurrency=slots,
        pool=TaskPool,
        consumer_cls=partial(JobConsumer, parts=parts),
        without_gossip=True,
        without_mingle=True,
        # Its events would go through the loop that also answers AMQP's own heartbeats.
        without_heartbeat=True,
        ready_callback=ready,
    )
    stop = Stop(worker, parts, drain_seconds=settings.drain_timeout)
    stop.listen()
    watchdog = Watchdog(
        worker.consumer,
        publisher=parts.publisher,
        answered_at=parts.answered_at,
        # No call takes longer; nor does waiting for a token that another worker gets.
        answer_seconds=token_seconds(settings),
        broker=broker,
        store_url=store_url,
        queues=names,
        slots=slots,
        health_file=settings.health_file,
        draining=parts.shutdown.draining,
    )
    if pages is not None:
        pages.serve(
            pool=worker.pool,
            consumer=worker.consumer,
            parts=parts,
            watchdog=watchdog,
            slots=slots,
        )
    parts.start()
    watchdog.start()
    relax_collector()
    worker.start()
    stop.finish()
    return int(worker.exitcode or 0)


def pages_of(settings: Settings) -> WorkerPages | None:
    """Return what serves a worker's pages, if an address is set. Raises CannotServe."""
    if settings.metrics_address is None:
        return None
    try:
        from worker.pages import WorkerPages  # noqa: PLC0415 - what it imports may be missing
    except ImportError:
        raise CannotServe(
            "OVERTURE_METRICS_ADDRESS needs the extra 'metrics' (prometheus-client), which is not "
            "installed: run `make install`"
        ) from None
    return WorkerPages(settings.metrics_address, settings.accounts)


def tracing_of(broker: Broker) -> Tracing:
    """Return what makes spans, where OpenTelemetry's API is installed."""
    try:
        from worker.spans import OpenTelemetry  # noqa: PLC0415 - what it imports may be missing
    except ImportError:
        return UNTRACED
    return OpenTelemetry(broker.system)


def _declare(broker: Broker, names: Iterable[str]) -> None:
    with broker.connection() as connection:
        connect_at_once(connection)
        broker.declare(connection, names)


def secrets_of(settings: Settings) -> set[str]:
    """Return the values that may appear in no line of the log."""
    urls = [url.get_secret_value() for url in (settings.broker_url, settings.store_url) if url]
    passwords = set[str]().union(proxy_passwords(), *map(passwords_of, urls))
    return passwords | {
        account.client_secret.get_secret_value() for account in settings.accounts.values()
    }


def on_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    """Have a function called when the process is asked to end.

    `nohup` has a process ignore SIGHUP, and means it.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


class Stop:
    """Ends a worker by signal, in order and in bounded time."""

    def __init__(self, worker: Any, parts: Parts, *, drain_seconds: float) -> None:
        self._worker = worker
        self._parts = parts
        self._drain_seconds = drain_seconds
        self._asked = 0

    def listen(self) -> None:
        """Take the signals that end a process over from Python."""
        on_signals(self._on_signal)

    def finish(self) -> None:
        """Publish what is left and let go; called when the worker's loop has ended."""
        self._parts.close(seconds=CLOSE_SECONDS)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        is_first = not self._asked
        # A terminal that is closed says so more than once, and systemd says it behind SIGTERM:
        # only the first of them asks for anything.
        if is_first or number != signal.SIGHUP:
            self._asked += 1
        if is_first:
            self._parts.shutdown.draining.set()
            threading.Thread(target=self._drain, args=(number,), name="drain", daemon=True).start()

    def _drain(self, number: int) -> None:
        consumer: JobConsumer = self._worker.consumer
        name = signal.Signals(number).name
        log.info("worker.draining", signal=name, in_hand=consumer.in_hand())
        signals.worker_shutting_down.send(
            sender=self._worker.hostname, sig=name, how="Warm", exitcode=0
        )
        consumer.stop_taking()
        deadline = time.monotonic() + self._drain_seconds
        while consumer.in_hand() and time.monotonic() < deadline and self._asked == 1:
            time.sleep(LOOK_SECONDS)
        left = consumer.in_hand()
        log.info("worker.drained", handed_back=left)
        # Celery's loop looks at this flag in every turn.
        state.should_stop = 0  # type: ignore[assignment] # typed by its first value, None
        if left:
            # Threads in a call cannot be ended; what they hold is delivered again elsewhere.
            self._parts.close(seconds=CLOSE_SECONDS)
            write_last_lines()
            os._exit(0)
