"""The image and the compose file, as far as they can be read; acceptance/test_image.py builds."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from config.load import load_settings
from config.settings import Settings
from config.sources import PREFIX
from tasks.liveperson.domains import require_trusted_api, trusted_origin
from tests import dockerfile
from tests.documents import ROOT, read
from worker.stop import CLOSE_SECONDS

TOOLS: Final = Path(sys.executable).parent


@pytest.fixture
def compose() -> Any:
    """Give the compose file."""
    return YAML(typ="safe").load(read("docker/compose.yaml"))


@pytest.mark.slow
def test_the_dockerfile_is_linted() -> None:
    """Hadolint has nothing to say, and no rule is silenced."""
    done = subprocess.run(
        [TOOLS / "hadolint", "--no-color", ROOT / "docker/Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint" not in read("docker/Dockerfile")


@pytest.mark.slow
def test_the_compose_file_keeps_to_its_specification() -> None:
    """By the schema of the Compose Specification."""
    command = [str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, ROOT / "docker/compose.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_process_is_not_root_and_gets_its_signals() -> None:
    """A number for a user can be checked by Kubernetes; exec makes the worker process 1."""
    assert int(dockerfile.only("USER")) > 0
    assert dockerfile.only("STOPSIGNAL") == "SIGTERM"
    assert dockerfile.command_line("ENTRYPOINT") == ["overture"]
    assert any("exec /app/.venv/bin/python" in one.rest for one in dockerfile.instructions())


def test_the_image_is_built_from_locked_wheels() -> None:
    """Nothing that was not locked, and no source that would run code in the build."""
    installs = [one.rest for one in dockerfile.instructions() if " install " in one.rest]
    assert len(installs) == 2
    for install in installs:
        assert "--require-hashes" in install
        assert "--only-binary :all:" in install
    assert "requirements-dev.lock" not in read("docker/Dockerfile")


def test_the_lock_files_agree() -> None:
    """What production installs is what was tested, and only the demo's packages are left out."""
    everything, production = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", read(f"requirements{kind}.lock"), re.MULTILINE))
        for kind in ("", "-production")
    )
    assert production.items() < everything.items()
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = project["optional-dependencies"]
    # What only the demo needs is left out, the rest is there: by the packages' own names.
    names = {extra: {_name(text) for text in extras[extra]} for extra in extras if extra != "dev"}
    shared = set().union(*(names[extra] for extra in names if extra != "demo"))
    core = {_name(text) for text in project["dependencies"]}
    assert core | shared <= production.keys()
    assert (names["demo"] - shared - core).isdisjoint(production)


def _name(requirement: str) -> str:
    return re.split(r"[<>=~!\[ ]", requirement)[0].lower()


def test_the_variables_of_the_image_are_settings() -> None:
    """What it sets of ours exists."""
    ours = {name for name in dockerfile.variables() if name.startswith(PREFIX)}
    assert ours == {f"{PREFIX}DATA_DIR", f"{PREFIX}HEALTH_FILE"}
    assert {name.removeprefix(PREFIX).lower() for name in ours} <= Settings.model_fields.keys()


def test_the_build_sees_the_code_and_no_more() -> None:
    """Secrets, environments and histories that lie about do not get into an image."""
    names = {path.name for path in ROOT.iterdir()} | {".env", ".git", ".overture", "overture.toml"}
    seen = {name for name in names if dockerfile.in_context(name)}
    locks = {"requirements.lock", "requirements-production.lock"}
    assert seen == locks | {"config", "console", "simulator", "tasks", "worker"}


def test_versions_are_pinned(compose: Any) -> None:
    """An image without a version would be another one tomorrow."""
    images = [service["image"] for service in compose["services"].values()]
    arguments = [one.rest for one in dockerfile.instructions() if one.name == "ARG"]
    images += [text for text in arguments if text.startswith(("BUILDER=", "RUNTIME="))]
    assert len(images) == len(compose["services"]) + 2
    assert [image for image in images if not re.search(r":v?\d", image)] == []


def test_a_worker_has_the_time_to_drain(compose: Any) -> None:
    """Killed earlier it would leave requests of unknown fate."""
    seconds = int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings.model_fields["drain_timeout"].default + CLOSE_SECONDS


def test_the_compose_file_holds_no_settings(compose: Any) -> None:
    """They come from a file that is named from outside; nothing is reachable from outside."""
    for service in compose["services"].values():
        assert service.keys().isdisjoint({"environment", "secrets"})
        # Only who watches has a port, and only on this machine.
        assert "ports" not in service or service["profiles"] == ["monitoring"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert compose["services"]["worker"]["env_file"] == "${OVERTURE_ENV_FILE:-simulator.env}"


def test_the_stores_forget_nothing(compose: Any) -> None:
    """What the ledger needs of its server, and volumes for both."""
    command = " ".join(compose["services"]["valkey"]["command"])
    for wanted in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert wanted in command
    for name in ("rabbitmq", "valkey"):
        assert compose["services"][name]["volumes"][0].startswith(f"{name}:")
        assert name in compose["volumes"]


def test_the_settings_for_the_simulator_fit(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are valid, and a worker trusts the simulator under the name that it has there."""
    lines = [line for line in read("docker/simulator.env").splitlines() if not line.startswith("#")]
    for name, value in (line.split("=", 1) for line in lines):
        monkeypatch.setenv(name, value)
    settings = load_settings()
    require_trusted_api(settings.domain_api_url, settings.trusted_hosts)
    host = settings.domain_api_url.removeprefix("http://")
    origin = trusted_origin(
        host, api_url=settings.domain_api_url, trusted_hosts=settings.trusted_hosts
    )
    assert origin == settings.domain_api_url
    name, port = host.split(":")
    assert compose["services"][name]["command"][-2:] == ["--port", port]
