"""`overture check`: tests settings, broker, store, hosts and credentials."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal, TextIO

import click

from config.load import InvalidSettings, load_settings, misspelt
from config.logs import configure_logging
from config.settings import Settings
from console.admin.checks import check_broker, check_store_at
from console.admin.liveperson_checks import check_account, check_environment
from console.help import examples
from console.listing import as_json, format_option, output_option, write_text
from console.output import printable, say
from worker.broker.brokers import broker_at
from worker.embedded.server import EmbeddedServerError
from worker.embedded.servers import servers
from worker.finding import Finding, Verdict
from worker.redacted import secrets_of

MARKS: Final[dict[Verdict, tuple[str, str]]] = {
    "works": ("✓", "green"),
    "warning": ("!", "yellow"),
    "fails": ("✗", "red"),
}


@click.command(epilog=examples("overture check", "overture check --format json"))
@format_option("text", "json")
@output_option
def command(*, form: Literal["text", "json"], output: Path | None) -> int:
    """Test everything a worker needs, and say how to fix what fails.

    Declares the queues, sends a test message through a queue of its own, and asks LivePerson for a
    token for each account. Opens no conversation and shows no secret.
    """
    found = []
    for finding in _findings():
        found.append(finding)
        if form == "text" and output is None:
            # Printed as they come: some take a while.
            mark, colour = MARKS[finding.verdict]
            say(
                _line(
                    finding, click.style(mark if _can_write(mark) else finding.verdict, fg=colour)
                )
            )
    if form == "json":
        write_text(as_json([asdict(finding) for finding in found]), output)
    elif output is not None:
        write_text("\n".join(_line(one, MARKS[one.verdict][0]) for one in found), output)
    return int(any(finding.verdict == "fails" for finding in found))


def _line(finding: Finding, mark: str) -> str:
    return f"{mark} {finding.what}: {printable(finding.text)}"


def _findings() -> Iterator[Finding]:
    for sentence in misspelt():
        yield Finding("warning", "settings", sentence)
    try:
        settings = load_settings()
    except InvalidSettings as error:
        for fault in error.faults:
            yield Finding("fails", "settings", fault)
        return
    # Errors are reported as findings, not logged.
    configure_logging(level="critical", secrets=secrets_of(settings))
    yield Finding("works", "settings", "can be read")
    with ExitStack() as stack:
        try:
            found = stack.enter_context(servers(settings))
        except EmbeddedServerError as error:
            yield Finding("fails", "embedded server", str(error))
        else:
            yield from check_broker(broker_at(found.broker_url), settings)
            yield from check_store_at(found.store_url, replicas=settings.store_replicas)
        yield from _accounts(settings)


def _accounts(settings: Settings) -> Iterator[Finding]:
    findings = list(check_environment(settings))
    yield from findings
    if any(finding.verdict == "fails" for finding in findings):
        return
    for account_id in settings.accounts:
        yield from check_account(settings, account_id)
    if not settings.accounts:
        text = (
            "none is configured: set OVERTURE_ACCOUNT_ID, OVERTURE_CLIENT_ID and "
            "OVERTURE_CLIENT_SECRET; overture demo needs none"
        )
        yield Finding("fails", "account", text)


def _can_write(text: str) -> bool:
    # Python has no such stream where it was started with the file closed.
    stdout: TextIO | None = sys.stdout
    try:
        text.encode((stdout and stdout.encoding) or "ascii")
    except UnicodeEncodeError:
        return False
    return True
