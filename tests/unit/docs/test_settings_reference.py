"""The two references of the settings, .env.example and docs/operations.md, follow the code."""

from __future__ import annotations

import re
from typing import Final

import pytest

from config.load import LOCATORS, load_settings
from config.settings import Account, Settings
from config.sources import PREFIX
from tests.documents import codes, read, rows, section

SETTING: Final = re.compile(rf"^#?({PREFIX}\w+)=(.*)$")
NESTED: Final = f"{PREFIX}ACCOUNTS__12345678__"
NO_DEFAULT: Final = "none"


def expected() -> dict[str, str]:
    """Return every setting with its default as it is written in the environment."""
    single = {
        f"{PREFIX}{name.upper()}": _written(field.default)
        for name, field in Settings.model_fields.items()
        if name != "accounts"
    }
    nested = {f"{NESTED}{name.upper()}": "" for name in Account.model_fields}
    return {**dict.fromkeys(LOCATORS, ""), **single, **nested}


def _written(default: object) -> str:
    match default:
        case None:
            return ""
        case tuple():
            return ",".join(map(str, default))
        case bool():
            return str(default).lower()
        case _:
            return str(default)


def test_the_example_names_every_setting_with_its_default() -> None:
    """Copied as it stands, it changes nothing; a setting that is not in it does not exist."""
    lines = read(".env.example").splitlines()
    found = {match[1]: match[2] for match in map(SETTING.match, lines) if match}
    assert found == expected()


def test_the_example_explains_every_setting() -> None:
    """Each group of settings stands under a comment, and between blank lines."""
    for group in read(".env.example").strip().split("\n\n"):
        lines = group.splitlines()
        settings = [line for line in lines if SETTING.match(line)]
        comments = lines[: len(lines) - len(settings)]
        assert all(line.startswith("# ") or line == "#" for line in comments), group
        assert comments, group
        assert len(lines) == len(comments) + len(settings), group


def test_the_examples_values_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written there is what the settings' own reader makes of it."""
    nothing = load_settings()
    for name, value in expected().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == nothing


def test_the_table_of_settings_is_complete() -> None:
    """The operator's page has every setting with its default and what it means."""
    table = rows(section(read("docs/operations.md"), "Settings"))
    found = {
        name: "" if row[1] == NO_DEFAULT else codes(row[1])[0]
        for row in table
        for name in codes(row[0])
    }
    wanted = {name.replace("12345678", "<id>"): default for name, default in expected().items()}
    assert found == wanted
    assert all(row[2] for row in table)
