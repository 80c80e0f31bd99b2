"""The files of docker/monitoring: rules with their entries in the docs, dashboard, settings."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from docker.monitoring import dashboard
from tests.documents import ROOT, anchors, read, section
from tests.prometheus_server import RULES, demand

FOLDER: Final = ROOT / "docker/monitoring"
TESTS: Final = ROOT / "tests/monitoring/alerts.yaml"


def load(path: str) -> Any:
    """Read a YAML file of the project."""
    return YAML(typ="safe").load(read(path))


def rules() -> list[dict[str, Any]]:
    """Return every rule."""
    return [
        rule for group in load("docker/monitoring/rules.yaml")["groups"] for rule in group["rules"]
    ]


def test_each_alert_has_its_entry() -> None:
    """Under its name, where its runbook_url leads; and no other has one."""
    page = read("docs/monitoring.md")
    for rule in rules():
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (path, anchor) == ("docs/monitoring.md", rule["alert"].lower())
        assert anchor in anchors(page)
        assert rule["labels"]["severity"] in {"warning", "critical"}
    named = re.findall(r"^### (\w+)$", section(page, "Alerts"), re.MULTILINE)
    assert named == [rule["alert"] for rule in rules()]


def test_each_alert_is_tested_to_fire_and_to_end() -> None:
    """By the file that promtool reads."""
    fires: set[str] = set()
    ends: set[str] = set()
    for one in load("tests/monitoring/alerts.yaml")["tests"]:
        for check in one["alert_rule_test"]:
            (fires if check.get("exp_alerts") else ends).add(check["alertname"])
    names = {rule["alert"] for rule in rules()}
    assert fires == ends == names


def test_metrics_in_rules_exist() -> None:
    """Those of the tables in docs/monitoring.md, which are those of the code."""
    page = read("docs/monitoring.md")
    known = set(re.findall(r"^\| `(overture_\w+)`", page, re.MULTILINE))
    queries = [rule["expr"] for rule in rules()]
    queries += [query for panel in dashboard.panels() for query in panel.queries.values()]
    for query in queries:
        for name in re.findall(r"overture_\w+", query):
            assert re.sub(r"_(bucket|count|sum)$", "", name) in known, name


def test_the_dashboard_is_written() -> None:
    """`python -m docker.monitoring.dashboard` writes it anew."""
    assert dashboard.PATH.read_text(encoding="utf-8") == dashboard.written()
    panels = json.loads(dashboard.written())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (at, panel["gridPos"]["y"] + line)
        for panel in panels
        for at in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for line in range(panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places), "panels lie on each other"


@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", str(FOLDER / "prometheus.yaml"), str(FOLDER / "local.yaml")),
        ("check", "rules", str(RULES)),
        ("test", "rules", str(TESTS)),
    ],
    ids=lambda command: " ".join(command[:2]),
)
@pytest.mark.slow
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    """With the configuration, with the rules, and that each fires and ends when it should."""
    done = subprocess.run(
        [demand("promtool"), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
