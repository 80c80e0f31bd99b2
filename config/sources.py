"""Where settings come from beside the environment: a TOML file and a folder of secrets."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

PREFIX = "OVERTURE_"
NESTED = "__"
DEFAULT_FILE = "overture.toml"
MAX_SECRET_BYTES = 64 * 1024


class UnreadableSource(Exception):
    """The file or the folder cannot be read; the message says why, and quotes nothing it holds."""


class _Whole(PydanticBaseSettingsSource):
    """A source that is read as a whole, not field by field."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return None, field_name, False


class FileSource(_Whole):
    """Settings from `overture.toml`, or from the file that OVERTURE_CONFIG names.

    Raises UnreadableSource.
    """

    def __call__(self) -> dict[str, Any]:
        """Return what the file says; an absent default file says nothing."""
        named = os.environ.get(f"{PREFIX}CONFIG")
        path = Path(named or DEFAULT_FILE)
        if not named and not path.exists():
            return {}
        return read_file(path)


class FolderSource(_Whole):
    """Settings from the files of OVERTURE_SECRETS_DIR, as Docker and Kubernetes mount secrets.

    Files named after no setting are left alone: such folders are shared. Raises UnreadableSource.
    """

    def __call__(self) -> dict[str, Any]:
        """Return what the folder holds, `ACCOUNTS__<id>__CLIENT_SECRET` nested by its parts."""
        named = os.environ.get(f"{PREFIX}SECRETS_DIR")
        return read_folder(Path(named), set(self.settings_cls.model_fields)) if named else {}


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


def read_folder(folder: Path, known: set[str]) -> dict[str, Any]:
    """Return the settings that a folder of files holds, one file a setting."""
    found: dict[str, Any] = {}
    try:
        for path in sorted(folder.iterdir()):
            first, *rest = _field(path.name).split(NESTED)
            if first not in known or not path.is_file():
                continue
            value = _content(path)
            place = found
            for part in (first, *rest[:-1]) if rest else ():
                place = _folder(place, part, path)
            place[rest[-1] if rest else first] = value
    except OSError as error:
        raise UnreadableSource(
            f"{PREFIX}SECRETS_DIR: {folder}: cannot be read: {error.strerror}"
        ) from None
    return found


def _content(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(MAX_SECRET_BYTES).strip()
    except UnicodeDecodeError:
        raise UnreadableSource(f"{PREFIX}SECRETS_DIR: {path}: is not UTF-8 text") from None


def _folder(place: dict[str, Any], part: str, path: Path) -> dict[str, Any]:
    inner = place.setdefault(part, {})
    if not isinstance(inner, dict):
        raise UnreadableSource(f"{path}: another file already gives {part.upper()} as a whole")
    return inner


def _field(name: str) -> str:
    return name.lower().removeprefix(PREFIX.lower())
