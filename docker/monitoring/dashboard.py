"""Writes the Grafana dashboard: `python -m docker.monitoring.dashboard`.

A dashboard in Grafana's own JSON is hundreds of lines in which a query is hard to find. Here each
panel is its title, its unit and its queries; tests/acceptance/test_monitoring.py runs every one of
them against a Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PATH: Final = Path(__file__).parent / "grafana/dashboards/overture.json"

# Grafana's grid is 24 wide; four panels stand in a row.
PANEL_WIDTH: Final = 6
PANEL_HEIGHT: Final = 8
GRID_WIDTH: Final = 24
# The version of Grafana's own format: newer ones read it.
SCHEMA_VERSION: Final = 39
# Grafana puts in the range that suits the scrape interval, and the accounts that were chosen.
RATE: Final = "$__rate_interval"
ACCOUNT: Final = 'account=~"$account"'
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: queries by their legends, in Prometheus's language."""

    title: str
    about: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"


def quantiles(metric: str, *shares: float, by: str = "", where: str = "") -> dict[str, str]:
    """Query quantiles of a histogram, also by another label."""
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return {
        f"{share:.0%}{legend}": (
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{where}[{RATE}])))"
        )
        for share in shares
    }


ROWS: Final[Mapping[str, Sequence[Panel]]] = {
    "Jobs": (
        Panel(
            "Conversations a minute",
            "What comes out: opened, or found open where the job asked for that.",
            {
                "": f'60 * sum(rate(overture_jobs_total{{{ACCOUNT}, outcome!="failed"}}[{RATE}]))',
            },
            kind="stat",
        ),
        Panel(
            "Outcomes",
            "How jobs end; a dead letter with its code.",
            {
                "{{outcome}} {{code}}": "sum by (outcome, code) "
                f"(rate(overture_jobs_total{{{ACCOUNT}}}[{RATE}])) > 0",
            },
            unit="ops",
        ),
        Panel(
            "From enqueued to done",
            "Waits in the broker are in it, those for notBefore as well.",
            quantiles("overture_job_duration_seconds", 0.5, 0.95, 0.99),
            unit="s",
        ),
        Panel(
            "Dead letters of the last hour",
            "docs/operations.md says what each code calls for.",
            {
                "{{code}}": "sum by (code) "
                '(increase(overture_jobs_total{outcome="failed"}[1h])) > 0',
            },
            kind="bargauge",
        ),
    ),
    "Queues": (
        Panel(
            "Messages",
            "Ready, delayed until their time, or in hand.",
            {"{{queue}} {{state}}": "sum by (queue, state) (overture_queue_messages)"},
        ),
        Panel(
            "Oldest job",
            "How long it has waited, at least.",
            {"{{queue}}": "max by (queue) (overture_queue_oldest_seconds)"},
            unit="s",
        ),
        Panel(
            "Put off",
            "Jobs that wait for another try, by what they wait for.",
            {"{{why}}": f"sum by (why) (rate(overture_retries_scheduled_total[{RATE}]))"},
            unit="ops",
        ),
        Panel(
            "In the ledger",
            "Since the beginning, over all workers.",
            {
                "{{outcome}} {{code}}": "sum by (outcome, code) "
                f"(overture_ledger_jobs{{{ACCOUNT}}})",
            },
            kind="bargauge",
        ),
    ),
    "LivePerson": (
        Panel(
            "Calls",
            "By service and HTTP status; none: no answer.",
            {
                "{{service}} {{status}}": "sum by (service, status) "
                f"(rate(overture_liveperson_request_duration_seconds_count[{RATE}]))",
            },
            unit="reqps",
        ),
        Panel(
            "Time of a call",
            "To the end of its answer.",
            quantiles("overture_liveperson_request_duration_seconds", 0.5, 0.95, by="service"),
            unit="s",
        ),
        Panel(
            "Attempts",
            "What tries at jobs come to.",
            {
                "{{outcome}}": "sum by (outcome) "
                f"(rate(overture_attempts_total{{{ACCOUNT}}}[{RATE}]))",
            },
            unit="ops",
        ),
        Panel(
            "Refused with 429",
            "The share of all attempts; the pool slows down by itself.",
            {
                "{{account}}": "sum by (account) (rate(overture_attempts_total"
                f'{{{ACCOUNT}, outcome="throttled"}}[{RATE}])) / sum by (account) '
                f"(rate(overture_attempts_total{{{ACCOUNT}}}[{RATE}]))",
            },
            unit="percentunit",
        ),
    ),
    "Limits": (
        Panel(
            "Rate",
            "Conversations a second: the ceiling, what was learned, and what is in force.",
            {
                "{{account}} {{kind}}": "max by (account, kind) "
                f"(overture_rate_limit{{{ACCOUNT}}})",
            },
            unit="ops",
        ),
        Panel(
            "In flight",
            "Requests at LivePerson, and how many there may be.",
            {
                "{{account}}": f"max by (account) (overture_requests_in_flight{{{ACCOUNT}}})",
                "{{account}} limit": "max by (account) "
                f'(overture_in_flight_limit{{{ACCOUNT}, kind="in_force"}})',
            },
        ),
        Panel(
            "Wait for a permit",
            "In a thread; long waits in the broker are not in it.",
            quantiles("overture_permit_wait_seconds", 0.5, 0.95),
            unit="s",
        ),
        Panel(
            "Held",
            "1 while the account's jobs wait for this reason.",
            {"{{account}} {{why}}": f"max by (account, why) (overture_account_held{{{ACCOUNT}}})"},
            kind="state-timeline",
        ),
    ),
    "Workers": (
        Panel(
            "Workers",
            "Those that show themselves, and how many there should be.",
            {"workers": "max(overture_workers)", "wanted": "max(overture_workers_wanted)"},
        ),
        Panel(
            "Threads",
            "Working, waiting for a permit, or idle.",
            {"{{state}}": "sum by (state) (overture_threads)"},
        ),
        Panel(
            "In hand",
            "Messages that workers have, and outcomes that the broker has not confirmed.",
            {
                "in hand": "sum(overture_deliveries_in_hand)",
                "unconfirmed": "sum(overture_publisher_unconfirmed)",
            },
        ),
        Panel(
            "Since progress",
            "A worker ends itself after a minute or two.",
            {"{{instance}}": "time() - overture_last_progress_timestamp_seconds"},
            unit="s",
        ),
        Panel(
            "Processor",
            "A worker uses one at most.",
            {
                "{{instance}}": f"rate(process_cpu_seconds_total[{RATE}]) "
                "and on (instance) overture_deliveries_in_hand",
            },
            unit="percentunit",
        ),
        Panel(
            "Memory",
            "What is resident.",
            {
                "{{instance}}": "process_resident_memory_bytes "
                "and on (instance) overture_deliveries_in_hand",
            },
            unit="bytes",
        ),
        Panel(
            "Errors",
            "Calls to the store, outcomes sent again, lines of the log lost.",
            {
                "store": f"sum(rate(overture_store_errors_total[{RATE}]))",
                "publishing": f"sum(rate(overture_publish_retries_total[{RATE}]))",
                "log": f"sum(rate(overture_log_lines_dropped_total[{RATE}]))",
            },
            unit="ops",
        ),
        Panel(
            "Servers and versions",
            "1 if broker and store answer; how many processes run which version.",
            {
                "{{server}}": "min by (server) (overture_server_up)",
                "{{version}} Python {{python}}": "count by (version, python) (overture_build_info)",
            },
        ),
    ),
}


def panels() -> Iterator[Panel]:
    """Give every panel."""
    for row in ROWS.values():
        yield from row


def dashboard() -> dict[str, Any]:
    """Return the dashboard in Grafana's own form."""
    return {
        "uid": "overture",
        "title": "Overture",
        "tags": ["overture"],
        "timezone": "browser",
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), _accounts()]},
        "panels": list(_placed()),
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "type": "datasource",
        "query": "prometheus",
        "label": "Prometheus",
    }


def _accounts() -> dict[str, Any]:
    return {
        "name": "account",
        "label": "Account",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": "label_values(overture_jobs_total, account)", "refId": "accounts"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _placed() -> Iterator[dict[str, Any]]:
    """Give rows and panels, each with its place and its number."""
    top = number = 0
    for title, row in ROWS.items():
        number += 1
        place = {"x": 0, "y": top, "w": GRID_WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        top += 1
        for at, panel in enumerate(row):
            number += 1
            left, line = at * PANEL_WIDTH % GRID_WIDTH, at * PANEL_WIDTH // GRID_WIDTH
            place = {"x": left, "y": top + line * PANEL_HEIGHT, "w": PANEL_WIDTH, "h": PANEL_HEIGHT}
            yield {"id": number, "gridPos": place, **_written(panel)}
        top += -(-len(row) * PANEL_WIDTH // GRID_WIDTH) * PANEL_HEIGHT


def _written(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": DATASOURCE,
                "expr": query,
                "legendFormat": legend or "__auto",
                "instant": panel.kind in {"stat", "bargauge"},
            }
            for at, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def written() -> str:
    """Return the file."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(written(), encoding="utf-8")
