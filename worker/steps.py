"""The bootsteps that we add to Celery's worker, in the order in which they start.

Source: Celery, "Extensions and Bootsteps".
"""

from __future__ import annotations

import os
import platform
import signal
import time
from typing import TYPE_CHECKING, Any

import structlog
from celery import bootsteps, signals

from config.settings import Settings
from config.urls import public_url
from config.version import VERSION
from tasks.liveperson.environment import proxy_for
from tasks.measures import UNMEASURED
from tasks.tracing import UNTRACED, Tracing
from worker.app import Setup
from worker.broker.base import Broker
from worker.broker.message import bound
from worker.parts import build, token_seconds
from worker.serving import CannotServe
from worker.starting import complain
from worker.stop import CLOSE_SECONDS, Stop
from worker.tuning import relax_collector
from worker.watchdog import Watchdog

if TYPE_CHECKING:
    from worker.pages import WorkerPages

log = structlog.get_logger()


class Pipeline(bootsteps.StartStopStep):
    """The parts that jobs use: ledger, pulse, publisher, and the task itself.

    Sets `parts` and `pages` of Celery's worker; the consumer uses `parts`.
    """

    requires = ("celery.worker.components:Pool",)

    def create(self, worker: Any) -> None:
        """Build the parts."""
        setup: Setup = worker.app.setup
        bound(setup.settings.max_message_bytes)
        worker.pages = _or_end(lambda: pages_of(setup.settings))
        worker.parts = build(
            setup.settings,
            broker=setup.broker,
            store_url=setup.store_url,
            concurrency=worker.concurrency,
            queues=tuple(worker.app.amqp.queues.consume_from),
            measures=worker.pages.metrics if worker.pages else UNMEASURED,
            tracing=tracing_of(setup.broker),
        )
        worker.app.register_task(worker.parts.create)

    def start(self, worker: Any) -> None:
        """Start their threads."""
        since = time.monotonic()
        worker.parts.start(lambda: _about(worker, since))

    def stop(self, worker: Any) -> None:
        """Publish what is left, and close the parts."""
        worker.parts.close(seconds=CLOSE_SECONDS)

    def terminate(self, worker: Any) -> None:
        """Do the same when Celery ends without waiting."""
        self.stop(worker)


class Supervision(bootsteps.StartStopStep):
    """The signals' handlers, the watchdog, and the pages for probes."""

    requires = (Pipeline,)

    def create(self, worker: Any) -> None:
        """Note whether SIGHUP is ignored, before Celery changes its handler."""
        del worker
        # A process under `nohup` ignores it, and must go on doing so.
        self._ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def start(self, worker: Any) -> None:
        """Take the signals over from Celery, and start the watchdog."""
        setup: Setup = worker.app.setup
        settings, parts = setup.settings, worker.parts
        if self._ignores_hangup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        Stop(worker, parts, drain_seconds=settings.drain_timeout).listen()
        queues = tuple(worker.app.amqp.queues.consume_from)
        watchdog = Watchdog(
            worker.consumer,
            publisher=parts.publisher,
            answered_at=parts.answered_at,
            # No call takes longer, nor does waiting for another worker's token call.
            answer_seconds=token_seconds(settings),
            broker=setup.broker,
            store_url=setup.store_url,
            queues=queues,
            slots=worker.concurrency,
            health_file=settings.health_file,
            draining=parts.shutdown.draining,
        )
        if worker.pages is not None:
            _or_end(
                lambda: worker.pages.serve(
                    pool=worker.pool,
                    consumer=worker.consumer,
                    parts=parts,
                    watchdog=watchdog,
                    slots=worker.concurrency,
                )
            )
        watchdog.start()
        relax_collector()


def _about(worker: Any, since: float) -> dict[str, object]:
    """Return what `overture workers` shows of a worker; it has been up `since` then."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "version": VERSION,
        "uptimeSeconds": round(time.monotonic() - since),
        "queues": tuple(worker.app.amqp.queues.consume_from),
        "threads": worker.concurrency,
        "inHand": worker.consumer.in_hand(),
        "draining": worker.parts.shutdown.draining.is_set(),
    }


@signals.worker_ready.connect
def _say_ready(sender: Any, **_: object) -> None:
    """Log that the worker is ready, and with which servers."""
    worker = sender.controller
    setup: Setup | None = getattr(worker.app, "setup", None)
    if setup is not None:
        log.info(
            "worker.ready",
            version=VERSION,
            python=platform.python_version(),
            broker=public_url(setup.broker.url),
            store=public_url(setup.store_url),
            liveperson=public_url(setup.settings.domain_api_url),
            proxy=str(proxy_for(setup.settings.domain_api_url) or "none"),
            accounts=sorted(setup.settings.accounts),
            queues=tuple(worker.app.amqp.queues.consume_from),
            slots=worker.concurrency,
        )


def _or_end(call: Any) -> Any:
    """End the worker with a sentence if its pages cannot be served."""
    try:
        return call()
    except CannotServe as error:
        complain(str(error))
        raise SystemExit(1) from None


def pages_of(settings: Settings) -> WorkerPages | None:
    """Return a worker's pages, if an address is set. Raises CannotServe."""
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
    """Return the maker of spans, if OpenTelemetry's API is installed."""
    try:
        from worker.spans import OpenTelemetry  # noqa: PLC0415 - what it imports may be missing
    except ImportError:
        return UNTRACED
    return OpenTelemetry(broker.system)
