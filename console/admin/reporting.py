"""Opens the report of a submission, and names its columns; for commands and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from config.settings import Settings
from console.admin.report import OWN, FileReport, JobReport
from console.admin.steering import accounts_of_submission
from console.admin.submissions import View
from console.jobfiles.job_file import UnreadableFile
from console.jobfiles.source import FileOptions, open_source
from console.output import Problem
from console.servers import Servers
from console.tables import Column, Document, at

# The mark by which spreadsheets recognise UTF-8.
BYTE_ORDER_MARK = "\ufeff"


def open_report(
    servers: Servers,
    settings: Settings,
    found: View,
    file: str | None,
    stack: ExitStack,
    *,
    warn: Callable[[str], object],
) -> FileReport | JobReport:
    """Open the report of a submission's file, or without the file; then `warn` says why.

    Raises StoreError, and Problem if the file cannot be read.
    """
    about = found.about
    days = settings.dedupe_days
    path = file or (about.file if about else "")
    if about is None or not path or not Path(path).is_file():
        if path:
            warn(f"{path} is not there: the report has only the jobs that have ended")
    else:
        try:
            how = FileOptions.of(about.options.get("format"), about.options)
            source = stack.enter_context(open_source(path, how))
        except OSError as error:
            raise Problem(f"{path} cannot be read: {error.strerror}") from None
        except UnreadableFile as error:
            raise Problem(f"{path} {error}") from None
        is_same = about.content in {"", source.fingerprint(about.options)}
        if not is_same:
            what = "" if file else ": the report has only the jobs that have ended"
            warn(f"{path} is not the file that was submitted{what}")
        if is_same or file:
            return FileReport(servers.store, source, about, settings=settings, days=days)
    accounts = accounts_of_submission(servers.store, settings, about)
    return JobReport(servers.store, accounts, found.submission_id, seconds=settings.dedupe_seconds)


def columns_of(reporting: FileReport | JobReport) -> list[Column]:
    """Return the columns of its CSV."""
    return list(_columns(reporting))


def _columns(reporting: FileReport | JobReport) -> Iterator[Column]:
    """Yield the columns of CSV: the input's in their order, between the report's own."""
    given = reporting.columns()
    if isinstance(reporting, FileReport):
        yield Column("line", at("line"))
    for name in given:
        yield Column(name, _input(name))
    for name in OWN:
        is_given = name in given and name in {"jobId", "accountId", "consumerId"}
        if not is_given:
            yield Column(f"overture {name}" if name in given else name, at(name))


def _input(name: str) -> Callable[[Document], object]:
    return lambda row: row["input"].get(name)
