"""The sources of settings beside the environment: a TOML file and a folder of secrets."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource

PREFIX = "OVERTURE_"
NESTED = "__"
DEFAULT_FILE = "overture.toml"
MAX_SECRET_BYTES = 64 * 1024


class UnreadableSource(Exception):
    """The file or the folder cannot be read; the message says why, without its content."""


class FileSource(InitSettingsSource):
    """Settings from `overture.toml`, or from the file that OVERTURE_CONFIG names.

    Raises UnreadableSource.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        named = os.environ.get(f"{PREFIX}CONFIG")
        path = Path(named or DEFAULT_FILE)
        super().__init__(settings_cls, read_file(path) if named or path.exists() else {})


class FolderSource(EnvSettingsSource):
    """Settings from the files of OVERTURE_SECRETS_DIR, with names as those of variables.

    Raises UnreadableSource. The library's own source reads every file of a shared folder, also
    those of others, and silently skips links to files outside it.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, env_prefix="", env_ignore_empty=False)
        named = os.environ.get(f"{PREFIX}SECRETS_DIR")
        self.env_vars = read_folder(Path(named), set(settings_cls.model_fields)) if named else {}


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file, whose names may have the prefix."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UnreadableSource(f"{PREFIX}CONFIG: {path}: there is no such file") from None
    except OSError as error:
        raise UnreadableSource(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableSource(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise UnreadableSource(f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise UnreadableSource(f"{path}: is nested too deeply") from None
    return {_field(name): value for name, value in found.items()}


def read_folder(folder: Path, known: set[str]) -> dict[str, str]:
    """Return the contents of the files that are named after settings."""
    try:
        return {
            name: _content(path)
            for path in sorted(folder.iterdir())
            if (name := _field(path.name)).split(NESTED)[0] in known and path.is_file()
        }
    except OSError as error:
        raise UnreadableSource(
            f"{PREFIX}SECRETS_DIR: {folder}: cannot be read: {error.strerror}"
        ) from None


def _content(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(MAX_SECRET_BYTES).strip()
    except UnicodeDecodeError:
        raise UnreadableSource(f"{PREFIX}SECRETS_DIR: {path}: is not UTF-8 text") from None


def _field(name: str) -> str:
    return name.lower().removeprefix(PREFIX.lower())
