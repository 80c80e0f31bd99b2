"""The two tokens of a CONVERSATION call, and what can be read from them without their keys."""

import base64
import re
from dataclasses import dataclass
from typing import Any

from tasks.liveperson import reading
from tasks.liveperson.answer import CallFailed
from tasks.liveperson.http import HttpResponse

# How long an AppJWT lasts that does not say so itself: the documented hour.
LIFETIME_SECONDS = 3600.0
MAX_LIFETIME_SECONDS = 7 * 24 * 3600.0
# A token goes into a header: one printable word. LivePerson's samples stay below 2 KiB; that of
# a consumerId of 512 characters, each of them escaped in the token's JSON, takes more than 8.
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


class TokenFailure(CallFailed):
    """A token could not be got; a renewal that may help has been tried already."""


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What identifies us and one consumer; its repr shows nothing.

    `lp_consumer_id` is LivePerson's own id of the consumer, None if the token does not say it.
    """

    consumer_id: str
    app_jwt: str
    consumer_jws: str
    lp_consumer_id: str | None

    def __repr__(self) -> str:
        """Show nothing of the fields, which are secrets."""
        return "Tokens(…)"


def claims(token: str) -> dict[str, Any]:
    """Read the payload of a JWT without verifying it; empty for what is none.

    LivePerson verifies its tokens itself; here they only say how long they last and for whom.
    Source: RFC 7519, 3 and RFC 7515, 7.1.
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
    """Read when a token began and when it ends (`iat`, `exp`), in Unix seconds; None if unsaid."""
    said = claims(token)
    start, end = said.get("iat"), said.get("exp")
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return None
    return (start, end) if 0 < end - start <= MAX_LIFETIME_SECONDS else None


def token_in(response: HttpResponse, name: str) -> str | None:
    """Find the token of this name in an answer; None if there is none that can be sent on."""
    document = reading.document(response.body)
    token = document.get(name) if isinstance(document, dict) else None
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None
