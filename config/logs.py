"""One log for our own lines and those of Celery and all libraries, without secrets."""

from __future__ import annotations

import json
import logging
import logging.config
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import Processor, WrappedLogger

LogFormat = Literal["console", "json"]

REDACTED = "[redacted]"
# The forms of secrets anywhere: a signed token, or a password in a URL.
TOKEN = r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # noqa: S105 - the shape of a token, not a token
URL_PASSWORD = r"(?<=://)[^/@\s\"']*:[^/@\s\"']+(?=@)"  # noqa: S105 - likewise
MIN_SECRET_CHARACTERS = 4

# For values that orjson cannot write, such as half of a surrogate pair. Made once: json.dumps would
# make one for every line.
_ENCODER = json.JSONEncoder(default=str)


def configure_logging(
    *,
    level: str,
    log_format: LogFormat | None = None,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send all log lines of this process to standard error, in one format.

    `secrets` are values that must not appear. Without a format, a terminal gets the console's and
    anything else JSON.
    """
    out = stream or sys.stderr
    chosen = log_format or ("console" if out.isatty() else "json")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    render: list[Processor] = [
        _whatever_it_holds(_renderers(chosen, colors=out.isatty())),
        Redactor(secrets),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(_foreign(level, shared, render, out))


class Redactor:
    """The last processor: removes secrets from the rendered line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Ignore secrets shorter than MIN_SECRET_CHARACTERS: they would garble every line."""
        known = {
            form
            for value in secrets
            if len(value) >= MIN_SECRET_CHARACTERS
            for form in _written_forms(value)
        }
        # The longest first, since a secret may be the beginning of another one.
        longest_first = sorted(map(re.escape, known), key=len, reverse=True)
        self._pattern = re.compile("|".join([TOKEN, URL_PASSWORD, *longest_first]))
        # Every match contains one of these; most lines contain none, and need no pattern.
        self._marks = ("eyJ", "://", *known)

    def __call__(self, logger: WrappedLogger, name: str, line: Any) -> str:
        """Return the line with every secret replaced."""
        del logger, name
        text = str(line)
        if not any(mark in text for mark in self._marks):
            return text
        return self._pattern.sub(REDACTED, text)


def _written_forms(value: str) -> set[str]:
    """Return a value as it is, and as written in strings of JSON and Python, up to twice.

    Twice, because a line of JSON may contain an error that quotes JSON.
    """
    forms = {value}
    for _ in range(2):
        forms |= {
            text[1:-1]
            for form in forms
            for text in (json.dumps(form), json.dumps(form, ensure_ascii=False), repr(form))
        }
    return forms


def _renderers(chosen: LogFormat, *, colors: bool) -> list[Processor]:
    if chosen == "console":
        # Rich tracebacks print local variables, which may contain tokens.
        plain = structlog.dev.plain_traceback
        return [
            structlog.dev.ConsoleRenderer(
                colors=colors, timestamp_key="at", exception_formatter=plain
            )
        ]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _whatever_it_holds(renderers: Sequence[Processor]) -> Processor:
    """Render a line; if a value cannot be rendered, the line comes without its values.

    Logging must never raise.
    """

    def render(logger: WrappedLogger, name: str, event: Any) -> Any:
        line: Any = dict(event)  # renderers take out what they write
        try:
            for renderer in renderers:
                line = renderer(logger, name, line)
        except Exception as error:  # noqa: BLE001 - whatever a value does when it is shown
            known = {key: event.get(key) for key in ("event", "level", "at", "job_id", "account")}
            return json.dumps({**known, "not_shown": type(error).__name__}, default=object.__repr__)
        return line

    return render


def _to_json(event: object, **_: object) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except orjson.JSONEncodeError:
        return _ENCODER.encode(event)


def _foreign(
    level: str, shared: list[Processor], render: list[Processor], out: TextIO
) -> dict[str, object]:
    """Return a configuration of the standard library's logging with our format."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "one": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*shared, structlog.stdlib.add_logger_name],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
            }
        },
        "handlers": {"one": {"class": "logging.StreamHandler", "stream": out, "formatter": "one"}},
        "root": {"handlers": ["one"], "level": level.upper()},
        # Their INFO lines only repeat what ours say better.
        "loggers": {name: {"level": "WARNING"} for name in ("urllib3", "amqp", "kombu", "asyncio")},
    }
