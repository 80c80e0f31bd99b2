"""The documents as a whole: their links, their words, and that they name what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from config.settings import Settings
from config.sources import PREFIX
from config.version import VERSION
from tests.documents import DOCUMENTS, ROOT, anchors, blocks, links, read

CODE_PATH: Final = re.compile(
    r"`((?:config|worker|tasks|simulator|tests|examples|docker|docs|benchmarks)/[\w./-]*)`"
)
VARIABLE: Final = re.compile(rf"\b{PREFIX}[A-Z_]+[A-Z]\b")
# Settings of the compose file, not of Overture.
NO_SETTINGS: Final = {"OVERTURE_ENV_FILE"}
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


@each_document
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file, or to a heading of one, has its target."""
    for link in links(path.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@each_document
def test_named_paths_exist(path: Path) -> None:
    """A path of the tree that a document names is there."""
    for name in CODE_PATH.findall(path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


@each_document
def test_named_variables_are_settings(path: Path) -> None:
    """No document tells to set a variable that nobody reads."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= NO_SETTINGS | {f"{PREFIX}CONFIG", f"{PREFIX}SECRETS_DIR"}
    for name in VARIABLE.findall(path.read_text(encoding="utf-8")):
        assert name in known or name.startswith(f"{PREFIX}ACCOUNTS__"), name


@each_document
def test_blocks_say_their_language(path: Path) -> None:
    """Only drawings have none; so every command is known for one, and run."""
    for block in blocks(path.read_text(encoding="utf-8")):
        drawn = any(character in block.text for character in "─│▶◀")
        assert block.language or drawn or path.name == "contract.md", block.line


def test_one_version_everywhere() -> None:
    """The code, pyproject.toml, the newest entry of the changelog, and the image have one."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    newest = re.search(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    images = set(re.findall(r"overture:([\d.]+)", read("docker/compose.yaml")))
    label = re.search(r'image\.version="(\S+)"', read("docker/Dockerfile"))
    assert label is not None
    assert {project["version"], newest[1], label[1], *images} == {VERSION}


def test_every_dependency_has_its_reason() -> None:
    """The table of the architecture names each package that is installed for users."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = project["optional-dependencies"].items()
    wanted = project["dependencies"] + [
        one for extra, packages in extras if extra != "dev" for one in packages
    ]
    names = [re.split(r"[<>=~!\[ ]", requirement)[0] for requirement in wanted]
    text = read("docs/architecture.md")
    assert [name for name in names if f"| {name} |" not in text] == []
