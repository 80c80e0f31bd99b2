"""The metrics of one worker, as Prometheus scrapes them; docs/monitoring.md explains each.

It is imported only if an address is set: prometheus-client is the extra `metrics`.
"""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from config.version import VERSION
from tasks.liveperson.answer import Kind
from tasks.measures import Measures
from tasks.messages.dead_letter import ERROR_CODES
from worker.serving import Page

# Upper bounds of buckets, in seconds. LivePerson usually answers within a second; a call ends
# with the read timeout at the latest.
CALL_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# A job waits for its permit for four minutes at most, then it goes back to the broker.
PERMIT_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240)
# From a job that is done at once to one that used up its retries, and to a backlog of hours.
JOB_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 14400, 86400)
# The statuses that LivePerson documents, or that gateways send. Others are shown as their class, so
# that the number of series is limited.
STATUSES: Final = frozenset(
    {200, 201, 202, 204, 301, 302, 307, 308, 400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422}
    | {425, 429, 451, 499, 500, 501, 502, 503, 504}
)
NO_ANSWER: Final = "none"
# How many measurements are kept before they are added up, if nobody scrapes meanwhile.
MAX_NOTED: Final = 1000

Add = Callable[[Any], None]


class WorkerState(Protocol):
    """What is read of a worker when it is scraped."""

    def threads(self) -> Mapping[str, int]:
        """Count the threads for jobs by what they do: working, waiting for a permit, idle."""

    def in_hand(self) -> int:
        """Count the messages that the worker has and has not settled."""

    def unconfirmed(self) -> int:
        """Count the messages that are to be published, or are not confirmed yet."""

    def publish_repeats(self) -> int:
        """Count the messages that had to be sent again, since the start."""

    def store_errors(self) -> int:
        """Count the calls to the store that failed, since the start."""

    def dropped_lines(self) -> int:
        """Count the lines of the log that could not be written, since the start."""

    def progress_at(self) -> float:
        """Return when the watchdog last found nothing wrong, as Unix time."""


class WorkerMetrics(Measures):
    """Keeps the measurements of tasks, and shows them together with a worker's state.

    The number of series is limited by the configured accounts and by lists in the code.
    """

    def __init__(self, accounts: Collection[str]) -> None:
        # These would double the series, with the time when each began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._jobs = Counter(
            "overture_jobs",
            "Jobs, and messages that are none, by how they ended.",
            ["account", "outcome", "code"],
            registry=self._registry,
        )
        self._job_seconds = Histogram(
            "overture_job_duration_seconds",
            "From when a job was enqueued, or first seen, to its outcome.",
            buckets=JOB_SECONDS,
            registry=self._registry,
        )
        self._permit_seconds = Histogram(
            "overture_permit_wait_seconds",
            "How long jobs waited in a thread for their permit to send.",
            buckets=PERMIT_SECONDS,
            registry=self._registry,
        )
        self._calls = Histogram(
            "overture_liveperson_request_duration_seconds",
            "Calls to LivePerson's services, to the end of the answer.",
            ["service", "status"],
            buckets=CALL_SECONDS,
            registry=self._registry,
        )
        self._attempts = Counter(
            "overture_attempts",
            "Tries at jobs, by what came of them.",
            ["account", "outcome"],
            registry=self._registry,
        )
        self._repeats = Counter(
            "overture_retries_scheduled",
            "Jobs that were put off, by what they wait for.",
            ["why"],
            registry=self._registry,
        )
        # What adds to a series; a look-up here takes a third of the time of the library's.
        self._jobs_of: dict[tuple[str, str], Add] = {}
        self._attempts_of: dict[tuple[str, str], Add] = {}
        self._repeats_of: dict[str, Add] = {}
        self._calls_of: dict[tuple[str, int | None], Add] = {}
        # What was measured and not added yet. A deque, because that needs no lock among threads.
        self._measured: deque[tuple[Add, Any]] = deque()
        self._begin_at_zero(accounts)

    def _begin_at_zero(self, accounts: Collection[str]) -> None:
        """Create each series with 0: Prometheus would miss its first increment otherwise."""
        for account in ("", *accounts):
            for code in ERROR_CODES:
                self._job(account, f"failed:{code}")
        for account in accounts:
            self._job(account, "created")
            self._job(account, "reused")
            for kind in Kind:
                self._attempt(account, kind.value)

    def watch(self, state: WorkerState) -> None:
        """Include a worker's state from now on."""
        self._registry.register(_StateCollector(state))

    def page(self, accept: str) -> Page:
        """Return all metrics in the format that the client accepts."""
        self._add_up()
        write, content_type = choose_encoder(accept)
        return Page(body=write(self._registry), content_type=content_type)

    # What tasks measure

    def called(self, service: str, status: int | None, seconds: float) -> None:
        """Observe a call."""
        found = self._calls_of.get((service, status))
        if found is None:
            label = status_label(status)
            found = self._calls_of[service, status] = self._calls.labels(service, label).observe
        self._note(found, seconds)

    def attempted(self, account_id: str, kind: str) -> None:
        """Count an attempt."""
        self._note(self._attempt(account_id, kind), 1)

    def permitted(self, seconds: float) -> None:
        """Observe a wait."""
        self._note(self._permit_seconds.observe, seconds)

    def repeats(self, why: str) -> None:
        """Count a job that was put off."""
        found = self._repeats_of.get(why)
        if found is None:
            found = self._repeats_of[why] = self._repeats.labels(why).inc
        self._note(found, 1)

    def ended(self, account_id: str, counter: str, enqueued_at: str | None) -> None:
        """Count an outcome, and observe how long the job took, if that is known."""
        self._note(self._job(account_id, counter), 1)
        if enqueued_at is not None:
            self._note(self._took, (enqueued_at, time.time()))

    def _took(self, moments: tuple[str, float]) -> None:
        enqueued_at, ended_at = moments
        seconds = ended_at - datetime.fromisoformat(enqueued_at).timestamp()
        # A producer's clock may be ahead of ours.
        self._job_seconds.observe(max(0.0, seconds))

    def _job(self, account_id: str, counter: str) -> Add:
        found = self._jobs_of.get((account_id, counter))
        if found is None:
            outcome, _, code = counter.partition(":")
            found = self._jobs_of[account_id, counter] = self._jobs.labels(
                account_id, outcome, code
            ).inc
        return found

    def _attempt(self, account_id: str, kind: str) -> Add:
        found = self._attempts_of.get((account_id, kind))
        if found is None:
            found = self._attempts.labels(account_id, kind).inc
            self._attempts_of[account_id, kind] = found
        return found

    def _note(self, add: Add, measured: object) -> None:
        """Keep what was measured: among all else that a job needs, to add it takes longer."""
        self._measured.append((add, measured))
        if len(self._measured) >= MAX_NOTED:
            self._add_up()

    def _add_up(self) -> None:
        with suppress(IndexError):
            while True:
                add, measured = self._measured.popleft()
                add(measured)


def status_label(status: int | None) -> str:
    """Return a status's label: the status, or its class (`4xx`) if it is an unusual one."""
    if status is None:
        return NO_ANSWER
    return str(status) if status in STATUSES else f"{status // 100 % 10}xx"


def build_info() -> Metric:
    """Return the metric with the versions of Overture and of Python."""
    found = GaugeMetricFamily(
        "overture_build_info", "The versions that run here.", labels=["version", "python"]
    )
    found.add_metric([VERSION, platform.python_version()], 1)
    return found


class _StateCollector(Collector):
    """Reads a worker's state at each scrape, so that it costs nothing in between."""

    def __init__(self, state: WorkerState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        state = self._state
        yield build_info()
        threads = GaugeMetricFamily(
            "overture_threads", "Threads for jobs, by what they do.", labels=["state"]
        )
        for name, count in state.threads().items():
            threads.add_metric([name], count)
        yield threads
        yield GaugeMetricFamily(
            "overture_deliveries_in_hand",
            "Messages that the worker has and has not settled.",
            state.in_hand(),
        )
        yield GaugeMetricFamily(
            "overture_publisher_unconfirmed",
            "Outcomes that the broker has not confirmed yet.",
            state.unconfirmed(),
        )
        yield GaugeMetricFamily(
            "overture_last_progress_timestamp_seconds",
            "When nothing was last found to stand still, as Unix time.",
            state.progress_at(),
        )
        for name, words, count in (
            ("publish_retries", "Messages that had to be sent again.", state.publish_repeats()),
            ("store_errors", "Calls to the store that failed.", state.store_errors()),
            ("log_lines_dropped", "Lines of the log that were lost.", state.dropped_lines()),
        ):
            yield CounterMetricFamily(f"overture_{name}", words, count)
