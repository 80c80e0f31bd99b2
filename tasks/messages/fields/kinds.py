"""The types of values that fields share.

Sizes are in characters (Unicode code points), as JSON Schema counts them, unless a name says bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

# Unknown names are faults, and no value is converted.
STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
# For objects that LivePerson does not document: unknown fields are passed through.
OPEN: Final = STRICT | ConfigDict(extra="allow")

# A job's id becomes the `message_id`, which is a short string in AMQP 0-9-1.
MESSAGE_ID_MAX_BYTES: Final = 255

# The largest integer that every JSON reader reads exactly (RFC 8259, section 6).
MAX_SAFE_INTEGER: Final = 2**53 - 1

_YEAR: Final = re.compile("[0-9]{4}")
_MINUTE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]"
_OFFSET: Final = r"(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_MOMENT: Final = re.compile(f"{_MINUTE}:[0-5][0-9]{_OFFSET}")
# RFC 3339 allows leap seconds; Python and the store's clock have none.
_LEAP_SECOND: Final = re.compile(f"{_MINUTE}:60{_OFFSET}")


def _whole(value: Any) -> Any:
    # To JSON Schema 30.0 is an integer, and LivePerson writes ages in this way.
    return int(value) if type(value) is float and value.is_integer() else value


def _year(value: Any) -> Any:
    # LivePerson's own example of a year is a string, though its type is "integer".
    return int(value) if isinstance(value, str) and _YEAR.fullmatch(value) else _whole(value)


def _digits(value: Any) -> Any:
    number = _whole(value)
    return str(number) if type(number) is int and abs(number) <= MAX_SAFE_INTEGER else number


def _short_string(value: str) -> str:
    if len(value.encode()) > MESSAGE_ID_MAX_BYTES:
        raise ValueError(
            f"is longer than {MESSAGE_ID_MAX_BYTES} bytes in UTF-8, the limit for a message id; "
            "give a shorter one"
        )
    return value


def _moment(value: Any) -> datetime:
    """Convert an RFC 3339 date-time, which must have an offset, to UTC."""
    if isinstance(value, str) and _LEAP_SECOND.fullmatch(value):
        raise ValueError(
            "is in a leap second, which no clock here counts; write the second before or after it, "
            "such as 23:59:59"
        )
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError(
            "is not an RFC 3339 date-time with an offset; write it as 2026-01-31T09:00:00Z"
        )
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a valid date and time; correct it") from None


PLAIN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"

Identifier = Annotated[str, Field(pattern=PLAIN)]
"""An id in somebody else's format: any text without control characters."""

NumericId = Annotated[
    str,
    Field(pattern=PLAIN, min_length=1, max_length=64),
    BeforeValidator(_digits),
    Field(
        json_schema_extra={
            "type": ["string", "integer"],
            "minimum": -MAX_SAFE_INTEGER,
            "maximum": MAX_SAFE_INTEGER,
        }
    ),
]
"""An id that is a number in LivePerson's answers and a string in its requests."""

SkillId = Annotated[
    str,
    Field(pattern="^(-1|[0-9]{1,10})$"),
    BeforeValidator(_digits),
    Field(json_schema_extra={"type": ["string", "integer"], "minimum": -1, "maximum": 10**10 - 1}),
]
"""At most 10 digits (LivePerson's release notes, February 2019), or -1."""

JobId = Annotated[
    str, Field(pattern=PLAIN, min_length=1, max_length=128), AfterValidator(_short_string)
]

AccountId = Annotated[str, Field(pattern=PLAIN, min_length=1, max_length=64)]

Integer = Annotated[int, Field(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER), BeforeValidator(_whole)]

Year = Annotated[
    int,
    Field(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER),
    BeforeValidator(_year),
    Field(json_schema_extra={"type": ["integer", "string"], "pattern": "^[0-9]{4}$"}),
]
"""A year; a string of four digits is accepted, too."""

Priority = Annotated[int, Field(ge=0, le=9), BeforeValidator(_whole)]

Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

JsonObject = dict[str, Any]


def about(description: str, **schema: Any) -> Any:
    """Describe a field, for its schema and for the sentences of its faults."""
    return Field(description=description, **schema)
