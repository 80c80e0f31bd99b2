"""Where settings come from beside the environment: a TOML file and a folder of secrets."""

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
    """The file or the folder cannot be read; the message says why, and quotes nothing it holds."""


class FileSource(InitSettingsSource):
    """Settings from `overture.toml`, or from the file that OVERTURE_CONFIG names.

    Raises UnreadableSource.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        named = os.environ.get(f"{PREFIX}CONFIG")
        path = Path(named or DEFAULT_FILE)
        super().__init__(settings_cls, read_file(path) if named or path.exists() else {})


class FolderSource(EnvSettingsSource):
    """Settings from the files of OVERTURE_SECRETS_DIR, nested by their names as variables are.

    Raises UnreadableSource. The library's own source of secrets reads every file, also those of
    others in a shared folder, and skips in silence what a link brings in from outside.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, env_prefix="", env_ignore_empty=False)
        named = os.environ.get(f"{PREFIX}SECRETS_DIR")
        self.env_vars = read_folder(Path(named), set(settings_cls.model_fields)) if named else {}


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings that a TOML file holds, their names with or without the prefix."""
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
    """Return what the files named after settings hold, by their names without the prefix."""
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
