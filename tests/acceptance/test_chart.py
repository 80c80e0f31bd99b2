"""The Helm chart: what it makes of its examples is what Kubernetes, KEDA and Prometheus take."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from config.settings import Account, Settings
from config.version import VERSION
from tests import dockerfile
from tests.documents import ROOT, read

CHART: Final = ROOT / "docker/chart"
EXAMPLES: Final = sorted(CHART.glob("examples/*.yaml"))
# Where `make chart-tools` puts Helm and the schemas.
TOOLS: Final = Path(sys.prefix) / "chart"
MODELS: Final = TOOLS / "node_modules/@kubernetes-models"
SCHEMAS: Final = {
    "keda.sh/v1alpha1": "keda/_schemas/ComGithubKedacoreKedaV2ApisKedaV1alpha1{}.js",
    "monitoring.coreos.com/v1": "prometheus-operator/_schemas/ComGithubPrometheusOperator"
    "PrometheusOperatorPkgApisMonitoringV1{}.js",
}
VALIDATE: Final = """
const [path, text] = process.argv.slice(1);
const {validate} = await import(path);
if (!validate(JSON.parse(text))) { console.log(JSON.stringify(validate.errors)); }
"""
Helm = Callable[..., subprocess.CompletedProcess[str]]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def helm() -> Helm:
    """Give Helm, where it can be had."""
    program = shutil.which("helm") or str(TOOLS / "helm/helm")
    missing = [name for name in (program, "node") if shutil.which(name) is None]
    if missing or not MODELS.exists():
        reason = "Helm or its schemas are not here: run `make chart-tools`, which needs npm"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], cwd=CHART, capture_output=True, text=True, check=False
        )

    return run


def rendered(helm: Helm, *arguments: str) -> list[Document]:
    """Return the documents that the chart makes."""
    done = helm("template", "overture", ".", *arguments)
    assert done.returncode == 0, done.stderr
    return [one for one in YAML(typ="safe").load_all(done.stdout) if one]


def of_kind(documents: list[Document], kind: str, name: str = "") -> Document:
    """Return the one document of a kind, whose name ends like that."""
    (one,) = [
        one for one in documents if one["kind"] == kind and one["metadata"]["name"].endswith(name)
    ]
    return one


def pod_of(documents: list[Document], name: str) -> Document:
    """Return the pod that a Deployment makes."""
    spec: Document = of_kind(documents, "Deployment", name)["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_document_keeps_to_its_schema(helm: Helm, example: Path) -> None:
    """Nothing that Kubernetes does not know, or would refuse; KEDA's and Prometheus's as well."""
    assert helm("lint", "--strict", ".", "--values", str(example)).returncode == 0
    for one in rendered(helm, "--values", str(example), "--set", "scaling.enabled=true"):
        if pattern := SCHEMAS.get(one["apiVersion"]):
            schema = MODELS / pattern.format(one["kind"])
            done = subprocess.run(
                ["node", "--input-type=module", "--eval", VALIDATE, schema, json.dumps(one)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), one["kind"]
        else:
            kubernetes_validate.validate(one, "1.35", strict=True)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_what_runs_may_do_nothing_else(helm: Helm, example: Path) -> None:
    """Not root, nothing to write but /tmp, no word to Kubernetes; secrets are files."""
    documents = rendered(helm, "--values", str(example))
    user = int(dockerfile.only("USER"))
    for name in ("worker", "exporter"):
        pod = pod_of(documents, name)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == user
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert mounts.keys() == {"secrets", "tmp"}
        variables = {one["name"]: one["value"] for one in container["env"]}
        assert variables["OVERTURE_SECRETS_DIR"] == mounts["secrets"]["mountPath"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_worker_drains_before_it_is_killed_and_is_probed(helm: Helm, example: Path) -> None:
    """15 s more than it may take to drain; the probes ask what a worker serves."""
    pod = pod_of(rendered(helm, "--values", str(example)), "worker")
    (container,) = pod["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    drain = float(variables["OVERTURE_DRAIN_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] >= drain + 15
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    port = container["ports"][0]["containerPort"]
    assert variables["OVERTURE_METRICS_ADDRESS"] == f"0.0.0.0:{port}"


def test_the_values_name_settings(helm: Helm) -> None:
    """Each as Overture reads it, however large the number."""
    known = {f"OVERTURE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"OVERTURE_{name}" for name in ("SECRETS_DIR", "CONFIG")}
    for example in EXAMPLES:
        for name in ("worker", "exporter"):
            pod = pod_of(rendered(helm, "--values", str(example)), name)
            for one in pod["containers"][0]["env"]:
                if one["name"].startswith("OVERTURE_ACCOUNTS__"):
                    assert one["name"].rsplit("__", 1)[1].lower() in Account.model_fields
                elif one["name"].startswith("OVERTURE_"):
                    assert one["name"] in known, one["name"]
    written = ("--set", "settings.max_message_bytes=16777216", "--set")
    pod = pod_of(
        rendered(helm, *written, "settings.trusted_hosts={.a.example,.b.example}"), "worker"
    )
    variables = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    assert variables["OVERTURE_MAX_MESSAGE_BYTES"] == "16777216"
    assert variables["OVERTURE_TRUSTED_HOSTS"] == ".a.example,.b.example"


@pytest.mark.parametrize(
    ("rates", "seconds", "threads", "per_process"),
    [([10], 1, 50, 500), ([200], 2, 50, 500), ([20, 2.5], 2, 10, 500), ([5000], 0.1, 100, 500)],
)
def test_no_more_workers_than_the_limit_can_feed(
    helm: Helm, rates: list[float], seconds: float, threads: int, per_process: float
) -> None:
    """By what a process can do, and by how long its threads wait; never fewer than the least."""
    values = [f"accounts.a{number}.max_rate={rate}" for number, rate in enumerate(rates)]
    values += ["scaling.enabled=true", f"scaling.secondsPerAnswer={seconds}"]
    values += [f"settings.concurrency={threads}", f"scaling.ratePerProcess={per_process}"]
    documents = rendered(helm, *(part for value in values for part in ("--set", value)))
    scaled = of_kind(documents, "ScaledObject")["spec"]
    rate = sum(rates)
    wanted = math.ceil(max(rate / per_process, rate * seconds / threads))
    assert scaled["maxReplicaCount"] == max(2, wanted)
    assert scaled["minReplicaCount"] == 2
    assert "replicas" not in of_kind(documents, "Deployment", "worker")["spec"]
    queues = [one["metadata"]["queueName"] for one in scaled["triggers"]]
    assert queues == [
        "conversations.jobs",
        *(f"conversations.jobs.a{n}" for n in range(len(rates))),
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("setings.max_rate=1", "setings"),
        ("settings.client_secret=canary", "client_secret"),
        ("replicas=two", "replicas"),
        ("image.digest=latest", "digest"),
        ("scaling.enabled=true,scaling.trigger=prometheus", "scaling.prometheus.serverAddress"),
    ],
)
def test_a_mistake_among_the_values_is_named(helm: Helm, value: str, said: str) -> None:
    """Before anything is installed; a secret has no place among them."""
    done = helm("template", "overture", ".", "--set", value)
    assert done.returncode != 0
    assert said in done.stderr


def test_all_workers_stop_before_a_new_one_where_a_release_asks_for_it(helm: Helm) -> None:
    """Otherwise a new one starts first."""
    for strategy in ("RollingUpdate", "Recreate"):
        documents = rendered(helm, "--set", f"updateStrategy={strategy}")
        worker = of_kind(documents, "Deployment", "worker")
        assert worker["spec"]["strategy"]["type"] == strategy
        assert ("rollingUpdate" in worker["spec"]["strategy"]) == (strategy == "RollingUpdate")
        kubernetes_validate.validate(worker, "1.35", strict=True)


def test_the_chart_has_the_version_of_overture() -> None:
    """Its own, and that of the image."""
    chart = YAML(typ="safe").load(read("docker/chart/Chart.yaml"))
    assert [chart["version"], chart["appVersion"]] == [VERSION, VERSION]


def test_the_alerts_are_those_of_the_project(helm: Helm) -> None:
    """The chart has no copy of the rules that could grow old."""
    example = ("--values", str(EXAMPLES[0]))
    documents = rendered(helm, *example, "--set", "metrics.prometheusRule.enabled=true")
    rules = YAML(typ="safe").load(read("docker/monitoring/rules.yaml"))
    assert of_kind(documents, "PrometheusRule")["spec"] == rules
