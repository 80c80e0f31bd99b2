"""Logging: one format for every line of the process, and no secret in any of them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from config.logs import LogFormat, configure_logging

SECRET = "canary-9f3a71"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiIxMjMifQ.c2lnbmF0dXJl"


@pytest.fixture
def _restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(log_format: LogFormat, level: str = "info") -> list[str]:
    """Log in every way that a line can come about, and return what was written."""
    out = io.StringIO()
    configure_logging(level=level, log_format=log_format, secrets=[SECRET, ""], stream=out)
    ours = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(job_id="order-1", account="123"):
        ours.info("job.ended", outcome="created", token=TOKEN)
        logging.getLogger("celery.worker").warning("lost amqp://user:%s@host//", SECRET)
    try:
        raise ValueError(f"refused: {SECRET} {TOKEN}")
    except ValueError:
        ours.exception("job.stumbled")
        logging.getLogger("kombu").exception("broken")
    ours.debug("too.quiet")
    return out.getvalue().splitlines()


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_is_in_any_line(log_format: LogFormat) -> None:
    """Known values, tokens and passwords inside URLs are taken out, of tracebacks too."""
    text = "\n".join(lines(log_format))
    assert (SECRET in text, TOKEN in text) == (False, False)
    assert text.count("[redacted]") >= 5


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "secret", ['pa"ss\\word', "pässwörd-ß", "tab\tand'quote\"", "pass", "passage"]
)
def test_a_secret_is_known_however_it_is_written(secret: str, log_format: LogFormat) -> None:
    """JSON and Python write quotes, backslashes and letters beyond ASCII in ways of their own."""
    out = io.StringIO()
    configure_logging(level="info", log_format=log_format, secrets=["pass", secret], stream=out)
    log = structlog.get_logger()
    log.info("refused", why=secret, raw=f"<{secret}>", error=ValueError(secret))
    log.info(json.dumps(secret, ensure_ascii=False))
    text = out.getvalue()
    assert text.count("[redacted]") == 4
    assert all(half not in text for half in ("ss", "rd", "tab", "quote", "age"))


@pytest.mark.usefixtures("_restored")
def test_every_line_is_json_with_the_bound_context() -> None:
    """Our lines and those of libraries carry the same fields."""
    ours, theirs, *_ = [json.loads(line) for line in lines("json")]
    assert (ours["event"], ours["job_id"], ours["account"]) == ("job.ended", "order-1", "123")
    assert (theirs["level"], theirs["job_id"]) == ("warning", "order-1")
    assert theirs["logger"] == "celery.worker"
    assert ours["at"].endswith("Z")


@pytest.mark.usefixtures("_restored")
def test_the_level_holds_for_both(capsys: pytest.CaptureFixture[str]) -> None:
    """What is quieter than the level is not written."""
    assert len(lines("json", level="error")) == 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("_restored")
def test_a_line_is_json_whatever_it_holds() -> None:
    """Half a surrogate pair, a key that is no text, a number beyond 64 bits, any object."""
    out = io.StringIO()
    configure_logging(level="info", log_format="json", stream=out)
    odd = {"half": "\ud800", "large": 2**70, "keys": {1: "one"}, "object": Exception("odd")}
    structlog.get_logger().info("odd", **odd)
    (line,) = map(json.loads, out.getvalue().splitlines())
    assert line["event"] == "odd"
    assert line["half"] == "\ud800"
    assert line["large"] == 2**70
    assert line["keys"] == {"1": "one"}
    assert line["object"] == "odd"
