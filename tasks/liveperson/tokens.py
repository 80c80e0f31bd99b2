"""The two tokens of a CONVERSATION call, and reading them without their keys."""

import base64
import re
from dataclasses import dataclass
from typing import Any

from tasks.liveperson import reading
from tasks.liveperson.answer import CallFailed
from tasks.liveperson.http import HttpResponse

# The documented lifetime of an AppJWT, for one that does not say its own.
LIFETIME_SECONDS = 3600.0
MAX_LIFETIME_SECONDS = 7 * 24 * 3600.0
# A token goes into a header: one printable word. LivePerson's samples stay below 2 KiB; that of
# a consumerId of 512 characters, each of them escaped in the token's JSON, takes more than 8.
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


class TokenFailure(CallFailed):
    """There is no token for a call; renewing it has been tried already."""


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """The tokens that identify us and one consumer; they are not in the repr.

    `lp_consumer_id` is LivePerson's own id of the consumer, None if the token has none.
    """

    consumer_id: str
    app_jwt: str
    consumer_jws: str
    lp_consumer_id: str | None

    def __repr__(self) -> str:
        """Return a text without the fields, which are secrets."""
        return "Tokens(…)"


def claims(token: str) -> dict[str, Any]:
    """Read the payload of a JWT without verifying it; empty for anything else.

    LivePerson verifies its tokens itself; here only their lifetime and consumer are read. Source:
    RFC 7519, 3 and RFC 7515, 7.1.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except ValueError:
        return {}
    said = reading.document(payload)
    return said if isinstance(said, dict) else {}


def validity(token: str) -> tuple[float, float] | None:
    """Read when a token begins and ends (`iat`, `exp`), in Unix seconds; None if unknown."""
    said = claims(token)
    start, end = said.get("iat"), said.get("exp")
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return None
    return (start, end) if 0 < end - start <= MAX_LIFETIME_SECONDS else None


def token_in(response: HttpResponse, name: str) -> str | None:
    """Return the token of this name in an answer; None if none can go into a header."""
    document = reading.document(response.body)
    token = document.get(name) if isinstance(document, dict) else None
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None
