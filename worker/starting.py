"""What a worker checks and prepares before it takes a job, however it was started."""

from __future__ import annotations

import atexit
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

from celery import signals
from celery.exceptions import SecurityWarning
from kombu.exceptions import KombuError
from redis.exceptions import RedisClusterException, RedisError

from config.load import InvalidSettings, load_settings, misspelt
from config.logs import configure_logging
from config.names import JOBS_QUEUE
from config.settings import Settings
from config.streams import protect, write_in_background
from config.urls import public_url, said
from tasks.liveperson.environment import UnusableEnvironment, proxy_for
from tasks.liveperson.transport import tls_context
from tasks.store.connection import open_store
from tasks.store.replies import advice, report, report_broker
from tasks.store.retrying import retry_at_start
from tasks.store.rights import missing_rights, store_rights
from worker.app import Setup, WorkerApp, queues_of
from worker.broker.base import Broker, connect_at_once
from worker.broker.brokers import broker_at
from worker.embedded.server import EmbeddedServerError
from worker.embedded.servers import servers
from worker.pool import TaskPool
from worker.redacted import secrets_of
from worker.stop import on_signals
from worker.tuning import allow_files, keep_together

# Options of Celery's own command that would break a promise, and what to do instead.
REFUSED_OPTIONS: Mapping[str, str] = {
    "autoscale": "--autoscale: the threads of a worker cannot be scaled; use --concurrency",
    "purge": "--purge: it would delete jobs; use the broker's own means if you want that",
    "beat": "--beat: run `celery beat` by itself",
}

T = TypeVar("T")


class CannotStart(Exception):
    """A worker cannot work like this; each argument is a sentence that says why."""


def begin(app: WorkerApp, options: Mapping[str, Any]) -> None:
    """Prepare everything that a worker of this application needs; Celery calls it at the start.

    Raises SystemExit: with 1 after saying why, and with 0 for a signal. Celery would log any other
    error, and go on.
    """
    signals.setup_logging.connect(_keep_log, dispatch_uid="overture")
    # Celery warns root of pickle, which is refused here.
    warnings.simplefilter("ignore", SecurityWarning)
    if app.setup is not None:
        return
    protect()
    write_in_background()
    try:
        _demand_options(options)
        settings = _read_settings()
        check(settings)
        on_signals(lambda *_: sys.exit(0))
        log_as_told(settings)
        app.use(_reach(settings, options.get("queues")))
    except CannotStart as error:
        for sentence in error.args:
            complain(sentence)
        raise SystemExit(1) from None
    except Exception:  # noqa: BLE001 - Celery would log any error, and go on
        traceback.print_exc()
        raise SystemExit(1) from None


def fit_in(worker: Any) -> None:
    """Reduce the threads of Celery's worker to what the limit of open files allows."""
    if worker.app.setup.settings.one_processor:
        keep_together()
    if isinstance(worker.concurrency, int):
        worker.concurrency = allow_files(worker.concurrency)


def complain(sentence: str) -> None:
    """Print what is wrong, after the program's name."""
    print(f"overture: {sentence}", file=sys.stderr)  # noqa: T201 - there is no log yet


def check(settings: Settings) -> None:
    """Check whether a worker can work with these settings. Raises CannotStart."""
    if not settings.accounts:
        raise CannotStart(
            "no account is configured: set OVERTURE_ACCOUNT_ID, OVERTURE_CLIENT_ID and "
            "OVERTURE_CLIENT_SECRET, or [accounts.<id>] in overture.toml"
        )
    _demand_health_file(settings.health_file)
    try:
        proxy_for(settings.domain_api_url)
        tls_context()
    except UnusableEnvironment as error:
        raise CannotStart(str(error)) from None


def log_as_told(settings: Settings) -> None:
    """Configure the log as the settings say."""
    configure_logging(
        level=settings.log_level, log_format=settings.log_format, secrets=secrets_of(settings)
    )


def check_store(store: Any, *, replicas: int) -> None:
    """Check that the store answers and allows all that a job needs; waits for one that starts.

    Raises CannotStart and RedisError.
    """
    retry_at_start(store.ping, report)
    needed = store_rights(replicas=replicas)
    _demand_rights("store", retry_at_start(lambda: missing_rights(store, needed), report))


def check_broker(broker: Broker, queues: Iterable[str]) -> None:
    """Check the broker's rights and declare its queues; waits for a broker that starts.

    Raises CannotStart, and the connection's own errors.
    """
    _demand_rights("broker", retry_at_start(broker.missing_rights, report_broker))
    names = {JOBS_QUEUE, *queues}
    retry_at_start(lambda: _declare(broker, names), report_broker)


def _declare(broker: Broker, names: Iterable[str]) -> None:
    with broker.connection() as connection:
        connect_at_once(connection)
        broker.declare(connection, names)


def _keep_log(**_: object) -> None:
    """Do nothing: a receiver of this signal keeps Celery from setting up its own log."""


def _demand_options(options: Mapping[str, Any]) -> None:
    faults = [words for name, words in REFUSED_OPTIONS.items() if options.get(name)]
    # The command passes the class, by default the configured one.
    if options.get("pool") not in {None, TaskPool}:
        faults.append("--pool: jobs need the pool that is configured; leave the option out")
    if faults:
        raise CannotStart(*faults)


def _read_settings() -> Settings:
    for sentence in misspelt():
        complain(sentence)
    try:
        return load_settings()
    except InvalidSettings as error:
        raise CannotStart(*error.faults) from None


def _reach(settings: Settings, queues: Collection[str] | None) -> Setup:
    """Connect to broker and store; an embedded one is kept up until the process ends.

    Raises CannotStart.
    """
    stack = ExitStack()
    atexit.register(stack.close)
    try:
        found = stack.enter_context(servers(settings))
    except EmbeddedServerError as error:
        raise CannotStart(str(error)) from None
    broker = broker_at(found.broker_url)
    away = (RedisError, RedisClusterException, OSError)
    store_url = _or_say(
        "store", found.store_url, away, lambda: _store_at(found.store_url, settings)
    )
    connection = broker.connection()
    failures = (*connection.connection_errors, *connection.channel_errors, KombuError, OSError)
    names = queues or queues_of(settings)
    _or_say("broker", broker.url, failures, lambda: check_broker(broker, names))
    return Setup(settings=settings, broker=broker, store_url=store_url)


def _store_at(url: str, settings: Settings) -> str:
    """Check the store, and return its URL, which may be that of a cluster."""
    url, store = retry_at_start(lambda: open_store(url, connections=1), report)
    with closing(store):
        check_store(store, replicas=settings.store_replicas)
    return url


def _or_say(
    what: str,
    url: str,
    failures: tuple[type[BaseException], ...],
    call: Callable[[], T],
) -> T:
    try:
        return call()
    except failures as error:
        todo = advice(error, f"start it, or correct OVERTURE_{what.upper()}_URL")
        place, words = public_url(url), said(error, url)
        raise CannotStart(f"the {what} at {place} cannot be used: {words}; {todo}") from None


def _demand_rights(what: str, missing: Sequence[str] | None) -> None:
    """Raise CannotStart if the server's user lacks a right that a job can need."""
    if missing:
        raise CannotStart(
            f"the {what}'s user lacks {' '.join(missing)}; add this with ACL SETUSER and its name"
        )


def _demand_health_file(path: Path | None) -> None:
    """Touch the file once: if that fails later, a probe ends the worker, and nobody knows why."""
    try:
        if path is not None:
            path.touch()
    except OSError as error:
        raise CannotStart(
            f"OVERTURE_HEALTH_FILE: {path} cannot be written: {error.strerror}; name a file in a "
            "folder that exists and is writable"
        ) from None
