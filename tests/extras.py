"""A Python in which nothing can be imported but what some extras need, as where they alone are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from tests.documents import read

# Runs before the first import of a program, by the name that Python's `site` looks for.
BLOCKER: Final = """\
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def without_extras(folder: Path, *, keeping: Iterable[str] = ()) -> Path:
    """Make a folder for PYTHONPATH which blocks every package that the core does not need.

    What the extras in `keeping` need stays importable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(BLOCKER.format(names=blocked(keeping)))
    return folder


def blocked(keeping: Iterable[str] = ()) -> set[str]:
    """Return the top-level modules of all packages but those of the core and of these extras."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = list(project["dependencies"])
    for extra in keeping:
        wanted += project["optional-dependencies"][extra]
    found = closure(wanted)
    return {
        module
        for module, packages in packages_distributions().items()
        if found.isdisjoint(map(normal, packages))
    }


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of the packages that these requirements bring, as they are installed."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        key = (normal(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            texts = requires(one.name) or []
        except PackageNotFoundError:
            continue  # for another platform or another Python
        found.add(key[0])
        for further in map(Requirement, texts):
            extras = one.extras or {""}
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(further)
    return found


def normal(name: str) -> str:
    """Write a package's name as registries do."""
    return re.sub(r"[-_.]+", "-", name).lower()
