"""Reading a message from the jobs queue: a Celery message of either protocol, or the bare job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.names import TASK_NAME
from tasks.messages.json_text import MalformedJSON, loads_strict

# Whatever else a message says it is, it is refused unread: pickle above all.
CONTENT_TYPES: Final = frozenset({"", "application/json", "text/json", "application/octet-stream"})
ENCODINGS: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "binary"})
# Celery's names for what it is to run afterwards, and what producers call it; a group with a
# callback is a chord.
CALLBACKS: Final = {
    "callbacks": "link",
    "errbacks": "link_error",
    "chain": "chain",
    "chord": "chord",
}

# The headers by which a message is read; and those of others (W3C Trace Context) that come back on
# its outcome as they are.
READ_HEADERS: Final = frozenset({"task", "id", "eta", "expires"})
TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate"})


class Malformed(Exception):
    """The message is no job; the text says what it is instead and what to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What is known of a message of which only the beginning was kept.

    One of the digests is there, in hexadecimal: a Redis server knows SHA-1 alone.
    """

    size: int
    sha256: str = ""
    sha1: str = ""

    @property
    def digest(self) -> str:
        """The digest, with the name of its kind."""
        return f"SHA-256 {self.sha256}" if self.sha256 else f"SHA-1 {self.sha1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message as the broker handed it over.

    `left_out` names what it said about itself that could not be read: a job is a job without it.
    `cut` is there where `body` is only the beginning of what was sent, and `fault` says why `body`
    is not what its producer meant by it.
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
    """What a message holds: the job's document, and Celery's own `eta` and `expires`.

    `callbacks` names what Celery was to run after the job: it will not be.
    """

    document: object
    eta: str | None = None
    expires: str | None = None
    callbacks: tuple[str, ...] = ()


def read(message: Received, *, max_bytes: int) -> Contents:
    """Take the job's document out of a message.

    Raises Malformed.
    """
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
    # Headers are not the job: a header of this name that Celery did not write means nothing.
    task = message.headers.get("task")
    if isinstance(task, str) and (isinstance(body, list) or task == TASK_NAME):
        return _protocol_2(task, message.headers, body)
    if isinstance(body, dict) and "task" in body:
        return _protocol_1(body)
    return Contents(document=body)


def _aside(message: Received) -> str:
    """Say what else was odd about a message: it may be the reason."""
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
    """Name what Celery was asked to run afterwards; to be one of a group asks for nothing."""
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
