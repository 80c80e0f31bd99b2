"""A worker's metrics, as they are scraped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.messages.dead_letter import ERROR_CODES
from tasks.messages.outgoing import rfc3339
from tests.documents import codes, read, rows, section
from worker.metrics import MAX_NOTED, WorkerMetrics, status_label

ACCOUNT: Final = "12345678"


class State:
    """A worker that stands still."""

    def threads(self) -> Mapping[str, int]:
        return {"working": 2, "waiting": 1, "idle": 47}

    def in_hand(self) -> int:
        return 4

    def unconfirmed(self) -> int:
        return 1

    def publish_repeats(self) -> int:
        return 7

    def store_errors(self) -> int:
        return 3

    def dropped_lines(self) -> int:
        return 2

    def progress_at(self) -> float:
        return 1_800_000_000.5


@pytest.fixture
def metrics() -> WorkerMetrics:
    """Give the metrics of a worker of one account."""
    found = WorkerMetrics([ACCOUNT])
    found.watch(State())
    return found


def scraped(metrics: WorkerMetrics) -> dict[str, float]:
    """Scrape: each sample by its name and its labels, in the order of these."""
    text = metrics.page("").body.decode()
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_tasks_measure_is_counted(metrics: WorkerMetrics) -> None:
    """Under the names, labels and units that docs/monitoring.md lists."""
    enqueued_at = rfc3339(datetime.now(UTC) - timedelta(seconds=20))
    metrics.ended(ACCOUNT, "created", enqueued_at)
    metrics.ended(ACCOUNT, "created", None)
    metrics.ended("", "failed:invalid_job", None)
    metrics.attempted(ACCOUNT, "throttled")
    metrics.repeats("throttled")
    metrics.permitted(0.3)
    metrics.called("idp", 201, 0.07)
    metrics.called("idp", None, 31)
    found = scraped(metrics)
    assert found[f"overture_jobs_total account={ACCOUNT} code= outcome=created"] == 2
    assert found["overture_jobs_total account= code=invalid_job outcome=failed"] == 1
    assert found["overture_job_duration_seconds_count"] == 1
    assert found["overture_job_duration_seconds_bucket le=30.0"] == 1
    assert found["overture_job_duration_seconds_bucket le=10.0"] == 0
    assert found[f"overture_attempts_total account={ACCOUNT} outcome=throttled"] == 1
    assert found["overture_retries_scheduled_total why=throttled"] == 1
    assert found["overture_permit_wait_seconds_sum"] == 0.3
    name = "overture_liveperson_request_duration_seconds"
    assert found[f"{name}_bucket le=0.1 service=idp status=201"] == 1
    assert found[f"{name}_sum service=idp status=none"] == 31


def test_the_state_is_read_when_it_is_asked_for(metrics: WorkerMetrics) -> None:
    """Gauges and counters of the parts themselves."""
    found = scraped(metrics)
    assert [found[f"overture_threads state={one}"] for one in ("working", "waiting", "idle")] == [
        2,
        1,
        47,
    ]
    assert found["overture_deliveries_in_hand"] == 4
    assert found["overture_publisher_unconfirmed"] == 1
    assert found["overture_publish_retries_total"] == 7
    assert found["overture_store_errors_total"] == 3
    assert found["overture_log_lines_dropped_total"] == 2
    assert found["overture_last_progress_timestamp_seconds"] == 1_800_000_000.5
    assert [value for name, value in found.items() if name.startswith("overture_build_info")] == [1]


def test_every_outcome_is_there_before_it_counts(metrics: WorkerMetrics) -> None:
    """A counter that appears with its first event has no increase that anybody sees."""
    found = scraped(metrics)
    for code in ERROR_CODES:
        assert found[f"overture_jobs_total account={ACCOUNT} code={code} outcome=failed"] == 0
    assert found[f"overture_attempts_total account={ACCOUNT} outcome=throttled"] == 0


def test_a_clock_that_is_ahead_makes_no_negative_time(metrics: WorkerMetrics) -> None:
    """A producer's may be."""
    metrics.ended(ACCOUNT, "created", rfc3339(datetime.now(UTC) + timedelta(hours=1)))
    assert scraped(metrics)["overture_job_duration_seconds_sum"] == 0


@pytest.mark.parametrize(
    ("status", "label"), [(None, "none"), (429, "429"), (418, "4xx"), (599, "5xx"), (700, "7xx")]
)
def test_no_server_decides_how_many_series_there_are(status: int | None, label: str) -> None:
    """Unusual statuses are known by their class."""
    assert status_label(status) == label


def test_openmetrics_is_written_where_it_is_accepted(metrics: WorkerMetrics) -> None:
    """As Prometheus asks for it."""
    page = metrics.page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert page.content_type.startswith("application/openmetrics-text")
    assert page.body.endswith(b"# EOF\n")


def test_every_metric_is_explained(metrics: WorkerMetrics) -> None:
    """In the table of docs/monitoring.md, with its type; it names no other."""
    table = rows(section(read("docs/monitoring.md"), "Metrics of a worker"))
    told = {codes(row[0])[0].removesuffix("_total"): row[1] for row in table}
    del told["process_*"]
    text = metrics.page("").body.decode()
    assert told == {
        family.name: family.type
        for family in text_string_to_metric_families(text)
        if not family.name.startswith("process_")
    }


def test_many_measurements_are_added_up_without_a_scrape(metrics: WorkerMetrics) -> None:
    """So that they take no memory, by whichever threads measure."""

    def measure() -> None:
        for _ in range(MAX_NOTED):
            metrics.permitted(0.3)

    threads = [Thread(target=measure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(metrics._measured) < MAX_NOTED
    assert scraped(metrics)["overture_permit_wait_seconds_count"] == 4 * MAX_NOTED
