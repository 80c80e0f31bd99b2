"""The Dockerfile, read so that tests can look at its instructions."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from dataclasses import dataclass

from tests.documents import read


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


def command_line(name: str) -> list[str]:
    """Return the words of ENTRYPOINT, CMD, or of a HEALTHCHECK's command."""
    words: list[str] = json.loads(only(name).partition("[")[1] + only(name).partition("[")[2])
    return words
