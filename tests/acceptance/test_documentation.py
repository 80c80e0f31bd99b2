"""The commands of the documents, run as a reader would run them: in order, from the folder."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.broker_client import BrokerClient
from tests.documents import DOCUMENTS, ROOT, blocks, read
from tests.jobs import ONE_ACCOUNT
from tests.otlp_receiver import OtlpReceiver
from tests.prometheus_server import demand
from tests.reader import SERVICES, Reader
from tests.redis_server import RedisServer, free_port
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

SHELL: Final = {"sh", "console", "bash"}
DOCUMENTED_PORT: Final = "8070"
INSTRUMENT: Final = Path(sys.executable).parent / "opentelemetry-instrument"
EXPORTERS_PORT: Final = "9465"
REHEARSAL: Final = ("From a clone to an alert", "docs/monitoring.md")

# What cannot be run here, and what is done instead.
NOT_RUN: Final = {
    "git clone": "the project is here already",
    "make demo": "tests/acceptance/test_cli_demo.py runs it",
    "make ": "a test that ran `make test` would run itself; the targets are compared instead",
    "docker ": "no container engine; tests/unit/docs/test_image.py, tests/acceptance/test_image.py",
    "helm install ": "no cluster; tests/acceptance/test_chart.py renders the chart",
    "kubectl ": "no cluster",
    "OVERTURE_ENV_FILE=../.env docker ": "the same",
    ".venv/bin/pip install ": "what developers need is installed, and a test needs no network",
    ".venv/bin/python examples/producers/overture_producer.py pika": (
        "RabbitMQ: tests/acceptance/test_producers.py"
    ),
}


def commands(text: str) -> Iterator[str]:
    """Give the commands of a document's blocks, one a line."""
    for block in blocks(text):
        if block.language in SHELL:
            yield from filter(None, block.text.replace("\\\n", " ").splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder like the project's after `make install`."""
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    variables = f'PYTHONSAFEPATH=1 PYTHONPATH="{ROOT}${{PYTHONPATH:+:$PYTHONPATH}}" '
    for name, before, module in (("python", "", ""), ("overture", variables, "-m console ")):
        program = programs / name
        program.write_text(f'#!/bin/sh\n{before}exec "{sys.executable}" {module}"$@"\n')
        program.chmod(0o755)
    for beside in (INSTRUMENT, INSTRUMENT.with_name("celery")):
        (programs / beside.name).symlink_to(beside)
    for package in ("config", "tasks", "worker"):
        (tmp_path / package).symlink_to(ROOT / package)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


@pytest.fixture
def reader(folder: Path) -> Iterator[Callable[..., Reader]]:
    """Give a reader with these settings."""
    readers: list[Reader] = []

    def begin(**variables: object) -> Reader:
        readers.append(Reader(folder, variables))
        return readers[-1]

    yield begin
    for one in readers:
        one.kill()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Valkey for the part of the README that is about one's own servers."""
    one = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield one
    one.stop()


def follow(one: Reader, text: str, *, port: int, exporter: int = 0) -> dict[str, str]:
    """Type every command that can be run, with these ports; returns what each wrote."""
    said = {}
    for line in commands(text):
        if not line.startswith(tuple(NOT_RUN)):
            typed = line.replace(DOCUMENTED_PORT, str(port))
            said[line] = one.type(typed.replace(EXPORTERS_PORT, str(exporter)))
    return said


@pytest.mark.timeout(240)
def test_the_readme(reader: Callable[..., Reader], server: RedisServer) -> None:
    """From nothing to conversations, and then with servers of one's own to the first message."""
    port, one = free_port(), reader(log_format="json")
    said = follow(one, section_text("See it"), port=port)
    assert "created 5" in said[".venv/bin/overture submit examples/jobs.jsonl --wait"]
    assert "order-1005" in said[".venv/bin/overture results --format table"]
    one.set(broker_url=server.url)
    said = follow(one, section_text("Into production"), port=port)
    assert "none was submitted" in said[".venv/bin/overture submit examples/jobs.csv --dry-run"]
    assert set(one.leave().values()) <= {0, 130}


@pytest.mark.timeout(120)
def test_the_operators_pages(
    reader: Callable[..., Reader], server: RedisServer, tmp_path: Path
) -> None:
    """With a dead letter to look at."""
    with SimulatorProcess() as simulator, BrokerClient(server.url) as client:
        settings: dict[str, object] = {
            "broker_url": server.url,
            **ONE_ACCOUNT,
            "domain_api_url": simulator.url,
            "health_file": tmp_path / "worker-progress",
        }
        with WorkerProcess(settings):
            past = "2026-01-01T00:00:00Z"
            client.put([{"jobId": "order-1001", "consumerId": "c-1", "expiresAt": past}])
            wait_until((tmp_path / "worker-progress").exists, "the worker shows that it is well")
            one = reader(**settings)
            wait_until(lambda: "expired" in one.type("overture dead-letters list"), "a dead letter")
            said = follow(one, read("docs/operations.md"), port=simulator.port)
            follow(one, read("docs/limits.md"), port=simulator.port)
            text = read("docs/monitoring.md").replace(section_text(*REHEARSAL), "")
            said |= follow(one, text, port=simulator.port, exporter=free_port())
            follow(one, read("docs/console.md"), port=simulator.port)
    assert "the worker made progress" in said["overture health"]
    assert '"expired"' in said["overture dead-letters show order-1001"]
    assert (tmp_path / "dead-letters.jsonl").read_text().count("\n") == 1


@pytest.mark.timeout(180)
def test_the_rehearsal_of_an_alert(reader: Callable[..., Reader], folder: Path) -> None:
    """It fires and ends as the page says, by rules that do not wait and are asked more often."""
    for program in ("prometheus", "promtool"):
        demand(program)
    shutil.copytree(ROOT / "docker/monitoring", folder / "docker/monitoring")
    text = section_text(*REHEARSAL)
    settings, rules = (folder / f"docker/monitoring/{name}.yaml" for name in ("local", "rules"))
    rules.write_text(re.sub(r"^ +for: .*\n", "", rules.read_text(), flags=re.MULTILINE))
    scraped = settings.read_text().replace(" 5s", " 1s")
    for port in sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", text))):
        one = str(free_port())
        text, scraped = text.replace(port, one), scraped.replace(port, one)
    settings.write_text(scraped)
    before, asked, after = re.split(r"^(?=promtool|printf demo)", text, flags=re.MULTILINE)
    reads = reader(log_format="json")
    follow(reads, before, port=0)
    (query, _) = commands("```sh\n" + asked)
    firing = 'alertname="OvertureCredentialsRefused"'
    wait_until(lambda: firing in reads.type(query), "the alert fires", seconds=60)
    follow(reads, "```sh\n" + asked, port=0)
    follow(reads, "```sh\n" + after, port=0)
    wait_until(lambda: firing not in reads.type(query), "the alert ends", seconds=60)


def test_the_page_for_a_file(
    reader: Callable[..., Reader], server: RedisServer, folder: Path
) -> None:
    """Its commands in order, without a worker; the report is there, with each row."""
    one = reader(broker_url=server.url, **ONE_ACCOUNT)
    text = read("docs/files.md")
    said = follow(one, text, port=free_port())
    assert "2 valid jobs" in "".join(said.values())
    assert said["overture submit --template"].startswith("jobId,consumerId,")
    assert "submission spring: running" in said["overture submissions show spring"]
    report = (folder / "report.csv").read_text(encoding="utf-8-sig").splitlines()
    assert [line.split(";")[:2] for line in report[:2]] == [
        ["line", "Customer no."],
        ["2", "c-7f0e3c52-1d7b-4f5e-8a5b-0f2d6c1e9a01"],
    ]
    assert "<svg" in (folder / "report.html").read_text()
    (mapping,) = [block.text for block in blocks(text) if block.language == "toml"]
    assert mapping in (ROOT / "examples/customers.toml").read_text()


@pytest.mark.timeout(120)
def test_the_runbook(
    reader: Callable[..., Reader], server: RedisServer, own_server: RedisServer, tmp_path: Path
) -> None:
    """With a submission to stop, a secret in a file, and another broker to move away from."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/client_secret").write_text("an old one")
    with SimulatorProcess() as simulator:
        names = {name: value for name, value in ONE_ACCOUNT.items() if name != "client_secret"}
        one = reader(
            broker_url=server.url,
            secrets_dir=tmp_path / "secrets",
            domain_api_url=simulator.url,
            **names,
        )
        job = {"jobId": "order-1001", "consumerId": "c-1", "submissionId": "spring-campaign"}
        (tmp_path / "jobs.jsonl").write_text(json.dumps(job))
        one.type("overture submit jobs.jsonl")
        text = read("docs/runbook.md").replace("redis://old.example:6379/0", own_server.url)
        follow(one, text, port=simulator.port)
        with WorkerProcess({"broker_url": server.url, **ONE_ACCOUNT}):
            letters = "overture dead-letters list"
            wait_until(lambda: "cancelled" in one.type(letters), "the job was cancelled")
            follow(one, read("docs/upgrade.md"), port=simulator.port)
            said = follow(one, read("docs/troubleshooting.md"), port=simulator.port)
    assert "failed as cancelled" in said["overture status order-1001"]


def test_the_page_on_tracing(reader: Callable[..., Reader], server: RedisServer) -> None:
    """A worker that is started so sends its spans where the page says."""
    with (
        SimulatorProcess() as simulator,
        BrokerClient(server.url) as client,
        OtlpReceiver() as receiver,
    ):
        one = reader(broker_url=server.url, **ONE_ACCOUNT, domain_api_url=simulator.url)
        text = read("docs/tracing.md").replace("http://127.0.0.1:4318", receiver.url)
        follow(one, text, port=simulator.port)
        client.put([{"jobId": "order-1001", "consumerId": "c-1"}])
        client.wait_for(1)
        assert list(one.leave().values()) == [0]
    names = {span.name for span in receiver.spans}
    assert names >= {"process conversations.jobs", "POST", "publish conversations"}
    assert "run/conversations.create" in names


@pytest.mark.xdist_group("rabbitmq")
def test_the_contracts_programs_enqueue(rabbit_url: str, tmp_path: Path) -> None:
    """Each Python block, with nothing changed but the broker's address."""
    programs = [
        block.text for block in blocks(read("docs/contract.md")) if block.language == "python"
    ]
    assert len(programs) >= 2
    with BrokerClient(rabbit_url) as client:
        for number, text in enumerate(programs, start=1):
            path = tmp_path / f"program-{number}.py"
            path.write_text(
                re.sub(r"amqp://guest:guest@localhost", rabbit_url.removesuffix("//"), text)
            )
            subprocess.run([sys.executable, path], check=True, timeout=30)
            wait_until(lambda: client.waiting() == number, "the job is on the queue")  # noqa: B023 - called before it changes


def test_the_contracts_redis_command_enqueues(server: RedisServer) -> None:
    """The LPUSH that is printed there, by any client."""
    (line,) = [line for line in read("docs/contract.md").splitlines() if line.startswith("LPUSH ")]
    with server.client() as client, BrokerClient(server.url) as broker:
        client.execute_command(*shlex.split(line))
        assert broker.waiting() == 1


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_targets_of_make_exist(path: Path) -> None:
    """A `make` that a document names, in a block or in its text, is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):.* ## ", read("Makefile"), re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert named <= targets


def test_every_command_is_run() -> None:
    """No document beside these has commands, and every exception is still one."""
    # The runs of reliability.md take minutes; tests/chaos/test_chaos.py makes short ones.
    followed = {"README.md", "operations.md", "limits.md", "CONTRIBUTING.md", "reliability.md"}
    followed |= {"performance.md", "scaling.md", "deploy.md", "tracing.md", "monitoring.md"}
    followed |= {"runbook.md", "troubleshooting.md", "upgrade.md", "files.md", "console.md"}
    assert {path.name for path in DOCUMENTS if [*commands(path.read_text())]} == followed
    lines = [line for path in DOCUMENTS for line in commands(path.read_text(encoding="utf-8"))]
    assert [x for x in NOT_RUN if not any(line.startswith(x) for line in lines)] == []
    assert [x for x in SERVICES if not any(x in line for line in lines)] == []
    named = re.findall(r"tests/[\w/]+\.py", " ".join(NOT_RUN.values()))
    assert [name for name in named if not (ROOT / name).exists()] == []
    for line in commands(read("CONTRIBUTING.md")):
        assert line.startswith("make "), line
    for line in commands(read("docs/reliability.md")):
        assert re.fullmatch(r'make chaos ARGS="[\w -]+"', line), line
    # Nor do the measurements fit into a test.
    for line in commands(read("docs/deploy.md")):
        assert line.startswith(tuple(NOT_RUN)), line
    for line in [*commands(read("docs/performance.md")), *commands(read("docs/scaling.md"))]:
        assert line.startswith("make bench"), line


def section_text(heading: str, page: str = "README.md") -> str:
    """Return a section of a page with its blocks."""
    text = read(page)
    start = text.index(f"\n## {heading}\n")
    end = text.find("\n## ", start + 4)
    return text[start : end if end >= 0 else len(text)]
