"""The Dockerfile, read so that tests can look at its instructions and follow them."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.documents import ROOT, read

APP: Final = "/app"
# What needs the container itself: its own users, as root.
NOT_HERE: Final = ("useradd",)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; `rest` is what follows its name, on one line."""

    name: str
    rest: str


def instructions() -> list[Instruction]:
    """Return the Dockerfile's instructions in order."""
    lines = [line for line in read("docker/Dockerfile").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    parts = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [Instruction(name, re.sub(r" {2,}", " ", rest.strip())) for name, _, rest in parts]


def only(name: str) -> str:
    """Return the one instruction of this name."""
    (rest,) = [found.rest for found in instructions() if found.name == name]
    return rest


def variables() -> dict[str, str]:
    """Return what ENV sets."""
    parts = [
        part for found in instructions() if found.name == "ENV" for part in shlex.split(found.rest)
    ]
    return dict(part.split("=", 1) for part in parts)


def in_context(name: str) -> bool:
    """Tell whether .dockerignore lets a top-level name into the build."""
    is_in = True
    for line in read(".dockerignore").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch.fnmatchcase(name, pattern):
            is_in = line.startswith("!")
    return is_in


def build(folder: Path) -> dict[str, str]:
    """Follow COPY and RUN with `folder` in the place of the container's root.

    Returns the variables of a process in the container.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment = {"PATH": path, "HOME": str(folder), **kept}
    for found in instructions():
        if found.name == "COPY" and "--from=" not in found.rest:
            _copy(*found.rest.split(), folder=folder)
        elif found.name == "RUN" and not found.rest.startswith(NOT_HERE):
            # A test may use what pip has fetched before; the hashes are checked all the same.
            command = _moved(found.rest.replace(" --no-cache-dir", ""), folder)
            subprocess.run(["sh", "-ec", command], env=environment, cwd=folder, check=True)
    moved = {name: _moved(value, folder) for name, value in variables().items()}
    return {**environment, **moved, "PATH": moved["PATH"].replace("$PATH", "/usr/bin:/bin")}


def command_line(name: str) -> list[str]:
    """Return the words of ENTRYPOINT, CMD, or of a HEALTHCHECK's command."""
    words: list[str] = json.loads(only(name).partition("[")[1] + only(name).partition("[")[2])
    return words


def _copy(source: str, target: str, *, folder: Path) -> None:
    origin = ROOT / source
    assert in_context(source), f".dockerignore keeps {source} out"
    place = folder / target.lstrip("/")
    if origin.is_dir():
        shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, place)


def _moved(text: str, folder: Path) -> str:
    return re.sub(rf"(?<![\w.]){APP}\b", f"{folder}{APP}", text)
