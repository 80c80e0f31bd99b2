"""From dates as spreadsheets write them to the RFC 3339 date-times of a job."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from console.jobfiles.naming import Naming

_TIME: Final = (
    r"(?:[T ] *(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d{1,6})?)?"
    r" ?(?P<half>[AaPp]\.?[Mm]\.?)?)?"
)
_ISO: Final = re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d{{1,2}})-(?P<day>\d{{1,2}}){_TIME}")
_DOTS: Final = re.compile(rf"(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.(?P<year>\d{{4}}),?{_TIME}")
_SLASHES: Final = re.compile(
    rf"(?P<first>\d{{1,2}})/(?P<then>\d{{1,2}})/(?P<year>\d{{4}}|\d{{2}}),?{_TIME}"
)
NOON: Final = 12
CENTURY: Final = 2000


class OddDate(Exception):
    """A date that is ambiguous or impossible; the text says why, and what to do."""


def as_moment(cell: str, naming: Naming) -> str:
    """Return a date in RFC 3339; a cell with an offset, or without a date, is returned unchanged.

    Raises OddDate.
    """
    found = _ISO.fullmatch(cell) or _DOTS.fullmatch(cell) or _SLASHES.fullmatch(cell)
    if found is None:
        return cell
    parts = found.groupdict()
    if "first" in parts:
        if naming.dates is None:
            raise OddDate(
                "is a date with slashes, whose first number may be the day or the month; say which "
                'with dates = "day first" in a --map, or write it as 2026-01-31 09:00'
            )
        day, month = ("first", "then") if naming.dates == "day first" else ("then", "first")
        parts.update(day=parts[day], month=parts[month])
    if naming.zone is None:
        raise OddDate(
            "is a date without a time zone; name one with --zone, as in --zone Europe/Berlin, or "
            "write the offset, as in 2026-01-31T09:00:00+01:00"
        )
    year = int(parts["year"])
    try:
        moment = datetime(
            year if year >= 100 else CENTURY + year,
            int(parts["month"]),
            int(parts["day"]),
            _hour(parts["hour"], parts["half"]),
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
            tzinfo=ZoneInfo(naming.zone),
        )
    except ValueError:
        raise OddDate("is a date that no calendar has; correct it") from None
    return moment.isoformat()


def _hour(hour: str | None, half: str | None) -> int:
    number = int(hour or 0)
    if half is None:
        return number
    if not 1 <= number <= NOON:
        raise ValueError
    return number % NOON + (NOON if half[0] in "pP" else 0)
