"""Reading a message from the jobs queue: a Celery message of either protocol, or the bare job."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from config.names import TASK_NAME
from tasks.messages.dead_letter import Cut
from tasks.messages.fields.kinds import Moment
from tasks.messages.job import AS_DOCUMENTED, InvalidJob, Job, Reading, parse_job
from tasks.messages.json_text import MalformedJSON, loads_strict
from tasks.messages.outcome import Outcome, invalid, malformed
from tasks.messages.trace import Trace, trace_of

# A message with any other type is refused unread, above all pickle.
CONTENT_TYPES: Final = frozenset({"", "application/json", "text/json", "application/octet-stream"})
ENCODINGS: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "binary"})
# Celery's names in a message for what runs after a task, and their names in producers' code; a
# group with a callback is a chord.
CALLBACKS: Final = {
    "callbacks": "link",
    "errbacks": "link_error",
    "chain": "chain",
    "chord": "chord",
}

# The headers that are read.
READ_HEADERS: Final = frozenset({"task", "id", "eta", "expires"})


class Malformed(Exception):
    """The message is not a job; the text says what is wrong and what to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message as it came from the broker.

    `left_out` names headers and properties that could not be read; the job is done without them.
    `cut` is set if `body` is only the beginning, and `fault` says why `body` could not be decoded.
    """

    body: bytes
    headers: Mapping[str, Any]
    content_type: str
    content_encoding: str
    left_out: tuple[str, ...] = ()
    cut: Cut | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The contents of a message: the job's document, and Celery's own `eta` and `expires`.

    `callbacks` names what the producer asked Celery to run afterwards, which is refused.
    """

    document: object
    eta: str | None = None
    expires: str | None = None
    callbacks: tuple[str, ...] = ()


def read(message: Received, *, max_bytes: int) -> Contents:
    """Extract the job's document from a message. Raises Malformed."""
    if message.cut is not None:
        raise Malformed(
            f"the message is {message.cut.size} bytes long; only its first {len(message.body)} are "
            f"kept here ({message.cut.digest} of the whole)"
        )
    if message.fault:
        raise Malformed(message.fault)
    kind = message.content_type.split(";")[0].strip().lower()
    if kind not in CONTENT_TYPES and not kind.endswith("+json"):
        raise Malformed(f"content type {kind[:80]!r} is refused: send application/json")
    if message.content_encoding.lower() not in ENCODINGS:
        raise Malformed(
            f"content encoding {message.content_encoding[:80]!r} is refused: send utf-8"
        )
    try:
        body = loads_strict(message.body, max_bytes=max_bytes)
    except MalformedJSON as error:
        raise Malformed(f"{error}{_aside(message)}") from None
    # A header `task` that Celery did not write is ignored.
    task = message.headers.get("task")
    if isinstance(task, str) and (isinstance(body, list) or task == TASK_NAME):
        return _protocol_2(task, message.headers, body)
    if isinstance(body, dict) and "task" in body:
        return _protocol_1(body)
    return Contents(document=body)


def _aside(message: Received) -> str:
    """Return what could not be read of a message: it may be the reason of a fault."""
    return f"; left out: {', '.join(message.left_out)}" if message.left_out else ""


def _protocol_2(task: str, headers: Mapping[str, Any], body: object) -> Contents:
    _demand_task(task)
    match body:
        case [list() as args, dict() as kwargs, *rest]:
            document = _only_argument(args, kwargs)
        case _:
            raise Malformed("the body is not Celery's [args, kwargs, embed]")
    return Contents(
        document=document,
        eta=_when(headers, "eta"),
        expires=_when(headers, "expires"),
        callbacks=_callbacks(rest[0] if rest else None),
    )


def _protocol_1(body: dict[str, Any]) -> Contents:
    _demand_task(body["task"])
    args, kwargs = body.get("args") or [], body.get("kwargs") or {}
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise Malformed("args is not a list or kwargs is not an object")
    document = _only_argument(args, kwargs)
    return Contents(
        document=document,
        eta=_when(body, "eta"),
        expires=_when(body, "expires"),
        callbacks=_callbacks(body),
    )


def _callbacks(fields: object) -> tuple[str, ...]:
    """Return what Celery was asked to run afterwards; a group alone asks for nothing."""
    if not isinstance(fields, dict):
        return ()
    return tuple(name for field, name in CALLBACKS.items() if fields.get(field))


def _demand_task(name: object) -> None:
    if name != TASK_NAME:
        raise Malformed(f"task {str(name)[:80]!r} is not known: send {TASK_NAME}")


def _only_argument(args: list[Any], kwargs: dict[str, Any]) -> object:
    if len(args) == 1 and not kwargs:
        return args[0]
    if not args and kwargs.keys() == {"job"}:
        return kwargs["job"]
    raise Malformed(f"{TASK_NAME} takes one argument, the job: send args=[job]")


def _when(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


_MOMENT: Final = TypeAdapter[datetime](Moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job to work on, with the times between which it may be sent, and our name as its owner."""

    job: Job
    document: Mapping[str, Any] = field(repr=False)
    owner: str
    enqueued_at: str | None
    not_before: datetime | None
    expires_at: datetime | None
    trace: Trace = field(default_factory=dict)

    def is_expired(self, now: datetime) -> bool:
        """Tell whether the job may no longer be sent."""
        return self.expires_at is not None and now >= self.expires_at

    def seconds_left(self, now: datetime) -> float:
        """Return how long the job may still be sent, in seconds."""
        return (self.expires_at - now).total_seconds() if self.expires_at else math.inf

    def seconds_to_wait(self, now: datetime) -> float:
        """Return the seconds until the job may be sent."""
        return max(0.0, (self.not_before - now).total_seconds()) if self.not_before else 0.0


def read_work(
    message: Received,
    *,
    owner: str,
    accounts: Collection[str],
    max_bytes: int,
    enqueued_at: str | None,
    reading: Reading = AS_DOCUMENTED,
) -> Work | Outcome:
    """Read a message; returns a dead letter if it is not a valid job."""
    trace = trace_of(message.headers)
    try:
        contents = read(message, max_bytes=max_bytes)
    except Malformed as error:
        return malformed(message.body, str(error), cut=message.cut, trace=trace)
    if contents.callbacks:
        refused = _not_run(contents.callbacks)
        return invalid(contents.document, message.body, refused, trace=trace)
    try:
        job = parse_job(contents.document, accounts=accounts, reading=reading)
    except InvalidJob as error:
        return invalid(contents.document, message.body, error, trace=trace)
    enqueued = _date_time(enqueued_at)
    return _work(job, contents, owner=owner, enqueued_at=enqueued, trace=trace)


def _not_run(callbacks: Collection[str]) -> InvalidJob:
    return InvalidJob(
        "invalid_job",
        f"the message: carries Celery's {', '.join(callbacks)}, which is not run here; "
        "send the job without it, and start what follows from the results queue",
    )


def _work(
    job: Job, contents: Contents, *, owner: str, enqueued_at: str | None, trace: Trace
) -> Work:
    eta, expires = _moment(contents.eta), _moment(contents.expires)
    starts = [moment for moment in (job.not_before, eta) if moment]
    ends = [moment for moment in (job.expires_at, expires) if moment]
    return Work(
        job=job,
        document=cast("Mapping[str, Any]", contents.document),
        owner=owner,
        enqueued_at=enqueued_at,
        not_before=max(starts, default=None),
        expires_at=min(ends, default=None),
        trace=trace,
    )


def _date_time(text: str | None) -> str | None:
    """Return a producer's header if it is RFC 3339, as results promise; else None."""
    try:
        _MOMENT.validate_python(text)
    except ValidationError:
        return None
    return text


def _moment(text: str | None) -> datetime | None:
    """Read Celery's own `eta` or `expires`; an unreadable one is ignored."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
