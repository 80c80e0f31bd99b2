"""A mapping in TOML, for a table whose columns are not named by the paths of fields.

zone = "Europe/Berlin"
dates = "day first"

[columns]
"Customer no." = "consumerId"
"Internal note" = ""

[defaults]
"conversation.skillId" = "4711"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from tasks.messages.json_text import dumps_compact

Dates = Literal["day first", "month first"]
DATES: Final[tuple[Dates, ...]] = ("day first", "month first")
KEYS: Final = ("zone", "dates", "columns", "defaults")
MAX_BYTES: Final = 1024 * 1024


class InvalidNaming(Exception):
    """The mapping cannot be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How a table is read: which field each column holds, and what its dates mean.

    `columns` maps a column's name to the dotted path of a field, or to "" to ignore it. `defaults`
    maps a path to the cell that counts where a row has none. `zone` is the IANA time zone of dates
    without an offset, `dates` the order of day and month in dates with slashes.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    zone: str | None = None
    dates: Dates | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is set, to be stored and used when the file is read again."""
        said = {
            "columns": dict(self.columns),
            "defaults": dict(self.defaults),
            "zone": self.zone,
            "dates": self.dates,
        }
        return {name: value for name, value in said.items() if value}


AS_NAMED: Final = Naming()


def read_naming(path: Path) -> Naming:
    """Read a mapping. Raises InvalidNaming."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidNaming(f"{path} has more than {MAX_BYTES} bytes; it is no mapping")
        said = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidNaming(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidNaming(f"{path} is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidNaming(f"{path} is not TOML: {error}") from None
    try:
        return naming_of(said)
    except InvalidNaming as error:
        raise InvalidNaming(f"{path}: {error}") from None


def naming_of(said: Mapping[str, Any]) -> Naming:
    """Check a mapping and return it. Raises InvalidNaming."""
    for name in said.keys() - set(KEYS):
        near = get_close_matches(name, KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"a mapping has {', '.join(KEYS)}"
        raise InvalidNaming(f"{name!r} is not known; {hint}")
    zone, dates = said.get("zone"), said.get("dates")
    if dates is not None and dates not in DATES:
        raise InvalidNaming(f'dates is "{DATES[0]}" or "{DATES[1]}"')
    return Naming(
        columns=_table(said, "columns"),
        defaults=_table(said, "defaults"),
        zone=known_zone(zone) if zone is not None else None,
        dates=dates,
    )


def known_zone(name: object) -> str:
    """Return the name of a time zone. Raises InvalidNaming."""
    try:
        return ZoneInfo(name).key if isinstance(name, str) else _no_zone(name)
    except (KeyError, OSError, ValueError):
        return _no_zone(name)


def _no_zone(name: object) -> str:
    raise InvalidNaming(
        f"{name!r} is no time zone; name one such as Europe/Berlin or UTC"
    ) from None


def _table(said: Mapping[str, Any], name: str) -> dict[str, str]:
    table = said.get(name, {})
    if not isinstance(table, dict):
        raise InvalidNaming(f"{name} is a table: [{name}], and a line for each")
    return {key.strip(): _cell(name, key, value) for key, value in table.items()}


def _cell(table: str, key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if table == "columns":
        raise InvalidNaming(f'columns.{key}: takes the path of a field, or "" to ignore it')
    return dumps_compact(value).decode()
