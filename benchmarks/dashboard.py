"""`python -m benchmarks.dashboard`: the dashboard's figures, of minutes in which things go wrong.

Real workers, an exporter and a Prometheus; every panel's query is asked over the whole time. What
happens when is EVENTS, and is drawn into the picture.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from benchmarks.chart import PYTHON, ROOT
from docker.monitoring.dashboard import ROWS, Panel
from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.overture_command import start_overture
from tests.prometheus_server import PrometheusServer, as_asked
from tests.redis_server import RedisServer, free_port
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

SECONDS: Final = 330.0
# How often Prometheus scrapes. Grafana takes rates over four times that.
STEP_SECONDS: Final = 3
RATE_RANGE: Final = f"{4 * STEP_SECONDS}s"
JOBS_A_SECOND: Final = 25
TICK_SECONDS: Final = 0.2
LATENCY_MS: Final = 200
SETTINGS: Final[Mapping[str, object]] = {
    **ONE_ACCOUNT,
    "max_rate": 60,
    "retry_schedule": "4,8,16",
}
# Of so many jobs, one each: for later, expired, refused by LivePerson, answered with a 5xx at first
# and always.
ODD_AMONG: Final = 150
LATER_SECONDS: Final = 20
FAULTS: Final = {3: ("bad_request_as_200", 9), 4: ("server_error", 2), 5: ("server_error", 9)}


class Watched:
    """Two workers that are watched, a LivePerson that can be told what to do, and producers."""

    def __init__(self, stack: ExitStack) -> None:
        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        server = RedisServer(folder()).start()
        stack.callback(server.stop)
        self.simulator = stack.enter_context(
            SimulatorProcess("--rate", "100", "--latency", f"{LATENCY_MS}:50", "--seed", "1")
        )
        settings = {
            **SETTINGS,
            "broker_url": server.url,
            "domain_api_url": self.simulator.url,
        }
        self._client = stack.enter_context(BrokerClient(server.url))
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(3)]
        self.workers = [
            stack.enter_context(
                WorkerProcess({**settings, "metrics_address": address}, concurrency=50)
            )
            for address in addresses[1:]
        ]
        for command in (
            ("exporter", "--address", addresses[0], "--workers", "2"),
            # The SEND stage, which takes what comes out.
            ("results", "--follow", "--output", str(folder() / "results.jsonl")),
        ):
            process = start_overture(*command, settings=settings, stdout=subprocess.DEVNULL)
            stack.callback(process.communicate, timeout=10)
            stack.callback(process.terminate)
        jobs = {"exporter": addresses[:1], "workers": addresses[1:]}
        self.prometheus = stack.enter_context(PrometheusServer(folder(), jobs, every=STEP_SECONDS))
        wait_until(lambda: len(self.prometheus.query("up == 1")) == 3, "all are scraped")
        self._odd = True
        self._ended = threading.Event()
        producer = threading.Thread(target=self._produce)
        producer.start()
        stack.callback(producer.join)
        stack.callback(self._ended.set)

    def limit(self, rate: int) -> None:
        """Have LivePerson answer with 429 what is more than so much a second."""
        self.simulator.control("limits", {"rate": rate, "burst": rate})

    def fail(self, share: float) -> None:
        """Have LivePerson answer so many requests with a 5xx."""
        # One that it refuses would be a sign that it is well.
        self._odd = not share
        self.simulator.control("faults", {"probabilities": {"server_error": share}})

    def _produce(self) -> None:
        number, begun = 0, time.monotonic()
        while not self._ended.wait(TICK_SECONDS):
            due = int((time.monotonic() - begun) * JOBS_A_SECOND)
            self._client.put([self._job(one) for one in range(number, due)])
            number = due

    def _job(self, number: int) -> dict[str, Any]:
        now, odd = datetime.now(UTC), number % ODD_AMONG
        document = job_document(number)
        if odd == 1:
            document["notBefore"] = (now + timedelta(seconds=LATER_SECONDS)).isoformat()
        elif odd == 2:
            document["expiresAt"] = now.isoformat()
        elif odd in FAULTS and self._odd:
            fault, times = FAULTS[odd]
            consumer = document["consumerId"]
            self.simulator.control("faults", {"consumer": consumer, "fault": fault, "times": times})
        return document


# When something happens, what, and how it is made to happen.
EVENTS: Final[tuple[tuple[float, str, Callable[[Watched], object]], ...]] = (
    (40, "LivePerson takes 15 a second", lambda pool: pool.limit(15)),
    (90, "it takes 100 again", lambda pool: pool.limit(100)),
    (145, "a worker is killed", lambda pool: pool.workers[1].kill()),
    (170, "it is started again", lambda pool: pool.workers[1].start()),
    (195, "LivePerson answers every job with a 5xx", lambda pool: pool.fail(1)),
    (240, "it is well again", lambda pool: pool.fail(0)),
)


@click.command()
@click.option(
    "--output", type=click.Path(path_type=Path), default="docs/dashboard.svg", show_default=True
)
def main(*, output: Path) -> None:
    """Run, ask every panel's query, and draw what came."""
    for needed in (shutil.which("prometheus"), PYTHON.exists()):
        if not needed:
            raise click.ClickException("this needs `prometheus` (Debian has it) and .venv-bench")
    with ExitStack() as stack:
        pool = Watched(stack)
        start = time.time()
        for at, what, happen in EVENTS:
            time.sleep(max(0, start + at - time.time()))
            click.echo(f"{at:3.0f} s: {what}")
            happen(pool)
        time.sleep(max(0, start + SECONDS - time.time()))
        picture = {
            "path": str(output.resolve()),
            "seconds": SECONDS,
            "step": STEP_SECONDS,
            "events": [(at, what) for at, what, _ in EVENTS],
            "rows": {
                title: [_asked(pool.prometheus, panel, start) for panel in row]
                for title, row in ROWS.items()
            },
        }
    command = [str(PYTHON), "-m", "benchmarks.dashboard_chart"]
    subprocess.run(command, input=json.dumps(picture), text=True, check=True, cwd=ROOT)


def _asked(prometheus: PrometheusServer, panel: Panel, start: float) -> dict[str, Any]:
    """Return a panel with what its queries found."""
    return {
        "title": panel.title,
        "unit": panel.unit,
        "kind": panel.kind,
        "series": [
            series
            for legend, query in panel.queries.items()
            for series in _series(prometheus, legend, as_asked(query, rate=RATE_RANGE), start)
        ],
    }


def _series(
    prometheus: PrometheusServer, legend: str, query: str, start: float
) -> Iterator[dict[str, Any]]:
    for found in prometheus.query_range(query, start, start + SECONDS, STEP_SECONDS):
        points = [(at - start, float(value)) for at, value in found["values"]]
        # A quantile of nothing is no number.
        points = [(at, value) for at, value in points if math.isfinite(value)]
        if points:
            yield {"name": _filled(legend, found["metric"]), "points": points}


def _filled(legend: str, labels: Mapping[str, str]) -> str:
    """Put labels into a legend, as Grafana does."""
    return re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), legend).strip()


if __name__ == "__main__":
    main()
