"""What one call to LivePerson came to, and what its HTTP status alone says."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from worker.liveperson import reading
from worker.liveperson.http import FateUnknown, HttpResponse, NotSent

# A longer Retry-After than this is not believed.
LONGEST_RETRY_AFTER_SECONDS = 300.0


class Kind(StrEnum):
    """What an answer means to the job it was got for."""

    CREATED = "created"
    """The conversation is open, and ours."""
    ALREADY_OPEN = "already_open"
    """The consumer has an open conversation; it may be ours, from an earlier attempt."""
    REJECTED = "rejected"
    """LivePerson refused the request, and would refuse it again."""
    UNAUTHORIZED = "unauthorized"
    """A token, or the credentials, were refused."""
    THROTTLED = "throttled"
    """Too many requests: nothing was done."""
    UNKNOWN = "unknown"
    """The request may have been carried out, or not."""
    NOT_SENT = "not_sent"
    """Nothing was done, and asking again later may help."""
    NOT_ENGAGED = "not_engaged"
    """The same of the Monitoring API, which has pauses of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call came to; `message` is for people and holds no secret.

    `retry_after` is in seconds, as the server asked: not clamped. `stale_token` names the token
    to renew after UNAUTHORIZED.
    """

    kind: Kind
    http_status: int | None = None
    error_code: int | None = None
    message: str = ""
    conversation_id: str | None = None
    retry_after: float | None = None
    stale_token: Literal["app", "consumer"] | None = None


class CallFailed(Exception):
    """A call that opens no conversation failed; its `answer` is never CREATED nor UNKNOWN."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


# 421: the server does not answer for this host; 425: it would not take the risk of a replay.
_NOT_PROCESSED = frozenset({421, 425})
# 408 and 499 are also what a gateway says whose own patience, or whose client's, has ended.
_AMBIGUOUS = frozenset({408, 499})


def kind_of(status: int) -> Kind:
    """Judge a request by its HTTP status, where nothing in the body says more.

    Sources: LivePerson's retry policy (4xx permanent, 429 and 5xx again); RFC 9110 for the rest. A
    redirect is not followed, since it would carry tokens along; it says that nothing was done.
    """
    if status == 401:
        return Kind.UNAUTHORIZED
    if status == 429:
        return Kind.THROTTLED
    if 300 <= status < 400 or status in _NOT_PROCESSED:
        return Kind.NOT_SENT
    if 400 <= status < 500 and status not in _AMBIGUOUS:
        return Kind.REJECTED
    return Kind.UNKNOWN


def refusal(
    service: str, response: HttpResponse, *, unauthorized: Collection[int] = (401,)
) -> Answer:
    """Judge an answer that is not the one asked for, to a call that opens no conversation."""
    document = reading.document(response.body)
    is_unauthorized = response.status in unauthorized
    said = reading.said(document) or "no readable reason"
    return Answer(
        kind=Kind.UNAUTHORIZED if is_unauthorized else _harmless_kind_of(response.status),
        http_status=response.status,
        error_code=reading.error_code(document),
        message=f"{service} answered HTTP {response.status}: {said}",
        retry_after=reading.retry_after(response.headers),
    )


def no_answer(service: str, error: NotSent | FateUnknown) -> Answer:
    """Judge a call that got no answer and opens no conversation: by the Domain API's, if any."""
    told = error if isinstance(error, NotSent) else NotSent(str(error))
    status = told.http_status
    return Answer(
        kind=Kind.NOT_SENT if status is None else _harmless_kind_of(status),
        http_status=status,
        message=f"{service}: {told}",
        retry_after=told.retry_after,
    )


def _harmless_kind_of(status: int) -> Kind:
    """Judge a call that opens no conversation by its HTTP status: it leaves nothing in doubt."""
    kind = kind_of(status)
    return Kind.NOT_SENT if kind is Kind.UNKNOWN else kind
