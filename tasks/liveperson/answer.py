"""The result of one call to LivePerson, and how an HTTP status is judged."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal

from tasks.liveperson import reading
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent

# A longer Retry-After is shortened to this.
MAX_RETRY_AFTER_SECONDS = 300.0


class Kind(StrEnum):
    """What an answer means for the job."""

    CREATED = "created"
    """The conversation was opened for this job."""
    ALREADY_OPEN = "already_open"
    """The consumer has an open conversation, perhaps from an earlier attempt of this job."""
    REJECTED = "rejected"
    """LivePerson refused the request, and would refuse it again."""
    UNAUTHORIZED = "unauthorized"
    """A token was refused; a new one may be accepted."""
    CREDENTIALS = "credentials"
    """The account's credentials were refused, or a token that was just issued for them."""
    NOT_SERVED = "not_served"
    """LivePerson seems to have refused the account, or the path, rather than the job."""
    THROTTLED = "throttled"
    """HTTP 429, too many requests: nothing was done."""
    UNKNOWN = "unknown"
    """The request may or may not have been carried out."""
    NOT_SENT = "not_sent"
    """The request did not reach LivePerson: nothing was done, and a retry may work."""
    NOT_ENGAGED = "not_engaged"
    """NOT_SENT of the Monitoring API, which has its own retry delays."""


# Outcomes that blame the account, or the connection, not the job.
OF_THE_ACCOUNT: Final = frozenset(
    {Kind.CREDENTIALS, Kind.NOT_SERVED, Kind.UNKNOWN, Kind.NOT_SENT, Kind.NOT_ENGAGED}
)
CAUSE_CHARS: Final = 200


def is_taken(kind: Kind) -> bool:
    """Tell whether LivePerson handled a request as such, with whatever result."""
    return kind not in OF_THE_ACCOUNT and kind is not Kind.UNAUTHORIZED


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of a call; `message` is for people, `cause` for the log, both without secrets.

    `cause` names service, host, and error or HTTP status. `retry_after` is in seconds, as the
    server said, without a limit. `stale_token` names the token to renew.
    """

    kind: Kind
    http_status: int | None = None
    error_code: int | None = None
    message: str = ""
    cause: str = ""
    conversation_id: str | None = None
    retry_after: float | None = None
    stale_token: Literal["app", "consumer"] | None = None


class CallFailed(Exception):
    """A call that opens no conversation failed; its `answer` is never CREATED or UNKNOWN."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


# LivePerson sends this errorCode with HTTP 400 if an AppJWT lacks a claim, or if brandId is
# missing, which we always send (Connector API, "Authorization and authentication").
CLAIM_MISSING = 40001

# 421: the server is not responsible for this host; 425: it does not process TLS early data.
_NOT_PROCESSED = frozenset({421, 425})
# A gateway also sends 408 or 499 when it, or its client, has waited too long.
_AMBIGUOUS = frozenset({408, 499})


def kind_of(status: int) -> Kind:
    """Judge a request by its HTTP status alone.

    Sources: LivePerson's retry policy (4xx permanent, 429 and 5xx again); RFC 9110 for the rest. A
    redirect means that nothing was done. It is not followed, since the tokens would be sent along.
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


# Statuses that blame the account's credentials.
_CREDENTIALS: Final = frozenset({401, 403, 451})
# Of the other 4xx, these blame the request; the rest blames the account or the path.
_OF_THE_REQUEST: Final = frozenset({400, 409, 413, 414, 415, 422, 431})


def refused_kind(
    status: int,
    *,
    documented: bool,
    credentials: Collection[int] = (),
    of_the_request: Collection[int] = _OF_THE_REQUEST,
) -> Kind:
    """Judge a refusal by its HTTP status, and by whether its body has a documented shape.

    A 4xx without a documented body comes from a proxy or a firewall: nothing reached LivePerson.
    """
    kind = kind_of(status)
    if kind not in {Kind.REJECTED, Kind.UNAUTHORIZED}:
        return kind
    if not documented:
        return Kind.NOT_SENT
    if status in credentials:
        return Kind.CREDENTIALS
    if kind is Kind.UNAUTHORIZED or status in of_the_request:
        return kind
    return Kind.NOT_SERVED


def refusal(
    place: str,
    response: HttpResponse,
    *,
    name: str = "",
    credentials: Collection[int] = _CREDENTIALS,
    of_the_request: Collection[int] = _OF_THE_REQUEST,
    is_documented: Callable[[Any], bool] = lambda document: bool(reading.said(document)),
) -> Answer:
    """Judge a failed call that opens no conversation.

    `place` is the service and its host, `name` the name of the service in messages.
    """
    document, status = reading.document(response.body), response.status
    # Sentinel's and IDP's error bodies are undocumented, so they may be empty.
    is_bare = status in credentials and not response.body.strip()
    kind = refused_kind(
        status,
        documented=is_bare or is_documented(document),
        credentials=credentials,
        of_the_request=of_the_request,
    )
    said = reading.said(document) or "no readable reason"
    code = reading.error_code(document)
    kind = _harmless(kind)
    return Answer(
        kind=kind,
        http_status=status,
        error_code=code,
        message=f"{name or place.partition(' ')[0]} answered HTTP {status}: {said}",
        cause=cause_of(place, status=status, code=code, is_page=is_page(kind, status)),
        retry_after=reading.retry_after(response.headers),
    )


def is_about_app_jwt(answer: Answer) -> bool:
    """Tell whether an answer is the 400 for an AppJWT that lacks a claim."""
    return answer.http_status == 400 and answer.error_code == CLAIM_MISSING


def cause_of(
    place: str, error: str = "", *, status: int = 0, code: int | None = None, is_page: bool = False
) -> str:
    """Return a cause for the log: the place, and what went wrong there."""
    if status:
        number = f" ({code})" if code is not None else ""
        page = ", a page that is not LivePerson's" if is_page else ""
        error = f"HTTP {status}{number}{page}"
    return reading.printable(f"{place}: {error}")[:CAUSE_CHARS]


def no_answer(place: str, error: NotSent | FateUnknown) -> Answer:
    """Judge a call without an answer, which opens no conversation."""
    service = place.partition(" ")[0]
    if isinstance(error, DomainUnknown):
        return replace(error.answer, message=f"{service}: {error}")
    return Answer(
        kind=Kind.NOT_SENT,
        message=f"{service}: {error}",
        cause=cause_of(service if isinstance(error, NotSent) else place, str(error)),
        retry_after=error.retry_after if isinstance(error, NotSent) else None,
    )


class DomainUnknown(NotSent):
    """The Domain API did not name a service's host; `answer` is the result of that call."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(
            answer.message, http_status=answer.http_status, retry_after=answer.retry_after
        )
        self.answer = answer


def is_page(kind: Kind, status: int | None) -> bool:
    """Tell whether a firewall or a sign-in page answered in place of LivePerson."""
    return (
        status is not None
        and kind is Kind.NOT_SENT
        and (
            kind_of(status) in {Kind.REJECTED, Kind.UNAUTHORIZED}
            or status == 200
            or 300 <= status < 400
        )
    )


def _harmless(kind: Kind) -> Kind:
    """Judge a call that opens no conversation: without an answer, it counts as not sent."""
    return Kind.NOT_SENT if kind is Kind.UNKNOWN else kind


@dataclass(frozen=True, slots=True)
class _Throttled:
    answer: Answer
    until: float


class Pause:
    """The pause of one service of one account after a 429; threads share one.

    `shortest` is its minimum in seconds.
    """

    def __init__(self, shortest: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shortest = shortest
        self._clock = clock
        self._throttled: _Throttled | None = None
        self._lock = threading.Lock()

    def refusal(self) -> Answer | None:
        """Return the 429 again while its pause lasts; `retry_after` is the time that is left."""
        throttled, now = self._throttled, self._clock()
        if throttled is None or now >= throttled.until:
            return None
        return replace(throttled.answer, retry_after=throttled.until - now)

    def after(self, answer: Answer) -> None:
        """Begin a pause if the answer is a 429, unless a longer one has begun."""
        if answer.kind is not Kind.THROTTLED:
            return
        seconds = min(max(self._shortest, answer.retry_after or 0), MAX_RETRY_AFTER_SECONDS)
        until = self._clock() + seconds
        with self._lock:
            if self._throttled is None or self._throttled.until < until:
                self._throttled = _Throttled(answer, until)
