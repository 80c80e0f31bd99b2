"""A finding of `overture check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["works", "warning", "fails"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was tried, how it went, and what to do if it did not go well."""

    verdict: Verdict
    what: str
    text: str
