"""Scenarios: named sets of options in TOML, some of them shipped.

A scenario has the command line's options, without the dashes before them; its faults are in a table
`[fault]`, where `idp.reset = 0.1` is the fault `idp.reset`.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent / "scenarios"
SUFFIX = ".toml"
OPTIONS = (
    "latency",
    "rate",
    "burst",
    "max-concurrent",
    "token-rate",
    "retry-after",
    "token-lifetime",
    "close-at-once",
    "seed",
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The options of a scenario by their Python names, and its fault probabilities."""

    options: Mapping[str, Any]
    faults: Mapping[str, float]


def shipped_names() -> list[str]:
    """List the scenarios that come with the simulator."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))


def read_scenario(name: str) -> Scenario:
    """Read a shipped scenario by name, or a file; raise ValueError with one sentence."""
    path = Path(name) if name.endswith(SUFFIX) else SHIPPED / f"{name}{SUFFIX}"
    if path.parent == SHIPPED and path.stem not in shipped_names():
        raise ValueError(f"{name}: unknown scenario; known scenarios: {', '.join(shipped_names())}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as unreadable:
        raise ValueError(f"{name}: {unreadable.strerror}") from None
    except ValueError as invalid:
        raise ValueError(f"{name}: is not TOML: {invalid}") from None
    faults = table.pop("fault", {})
    for option in table:
        if option not in OPTIONS:
            known = ", ".join(OPTIONS)
            raise ValueError(f"{name}: {option}: unknown option; known options: {known}")
    options = {option.replace("-", "_"): value for option, value in table.items()}
    return Scenario(options, dict(_flat(faults, "")))


def _flat(table: Any, prefix: str) -> Iterator[tuple[str, float]]:
    if not isinstance(table, dict):
        raise ValueError("fault must be a table")  # noqa: TRY004 - a wrong file, not a bug
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{prefix}{name}: a probability must be a number")  # noqa: TRY004
        else:
            yield f"{prefix}{name}", float(value)
