"""A real Prometheus for tests, where it is installed (Debian: `prometheus`)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from ruamel.yaml import YAML

from docker.monitoring.dashboard import ACCOUNT as CHOSEN
from docker.monitoring.dashboard import RATE
from tests.documents import ROOT
from tests.jobs import ACCOUNT
from tests.redis_server import free_port
from tests.waiting import wait_until

RULES: Final = ROOT / "docker/monitoring/rules.yaml"


def demand(program: str) -> str:
    """Return the path of one of its programs; skip the test where it is missing, but not in CI."""
    found = shutil.which(program)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{program} is not installed, and a build must not leave these tests out")
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: prometheus)")
    return found


def as_asked(query: str, *, rate: str) -> str:
    """Put into a query of the dashboard what Grafana puts in."""
    return query.replace(CHOSEN, f'account=~"{ACCOUNT}|"').replace(RATE, rate)


class PrometheusServer:
    """Scrapes every few seconds, by our rules, which do not wait: `for` is left out of them."""

    def __init__(self, folder: Path, jobs: Mapping[str, Sequence[str]], *, every: int = 1) -> None:
        """`jobs` have the addresses that are scraped."""
        self._program = demand("prometheus")
        self._folder = folder
        self._address = f"127.0.0.1:{free_port()}"
        yaml = YAML(typ="safe")
        rules = yaml.load(RULES)
        for group in rules["groups"]:
            group["rules"] = [
                {name: value for name, value in rule.items() if name != "for"}
                for rule in group["rules"]
            ]
        yaml.dump(rules, folder / "rules.yaml")
        settings = {
            "global": {"scrape_interval": f"{every}s", "evaluation_interval": f"{every}s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": name, "static_configs": [{"targets": list(targets)}]}
                for name, targets in jobs.items()
            ],
        }
        yaml.dump(settings, folder / "prometheus.yaml")

    def __enter__(self) -> Self:
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self._address}",
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_up, "Prometheus answers", seconds=30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            print((self._folder / "prometheus.log").read_text()[-3000:])
        self._process.kill()
        self._process.wait()

    def query(self, query: str) -> list[dict[str, Any]]:
        """Ask; returns what is found, each with its labels and its number."""
        answer = self._get(f"/api/v1/query?{urlencode({'query': query})}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def query_range(
        self, query: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """Ask over a time; returns what is found, each with its labels and its numbers."""
        asked = urlencode({"query": query, "start": start, "end": end, "step": step})
        found: list[dict[str, Any]] = self._get(f"/api/v1/query_range?{asked}")["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self._get("/api/v1/alerts")["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def _get(self, path: str) -> Any:
        with urlopen(f"http://{self._address}{path}", timeout=10) as answer:
            return json.load(answer)

    def _is_up(self) -> bool:
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            with urlopen(f"http://{self._address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
