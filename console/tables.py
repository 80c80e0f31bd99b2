"""Tables, CSV and texts of the commands: overviews, jobs, and rows of documents."""

from __future__ import annotations

import csv
import io
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import click
from rich.console import Console
from rich.text import Text

from config.names import JOBS_QUEUE
from console.admin.overview import AccountView, Overview
from console.admin.records import Record
from console.output import counted, escaped, printable
from tasks.messages.attempt import REPLAYED, UNRESOLVED
from tasks.messages.json_text import dumps_compact
from tasks.store.limits import Holds, Standing

# Wide enough for every id: the width if the output is not a terminal.
PLAIN_WIDTH: Final = 200
FAILED: Final = "failed:"
HOLDS: Final[dict[Holds, str]] = {
    "": "nothing",
    "paused": "an operator: {cause}",
    "pause": "a pause after a 429, {seconds:g} s left",
    "circuit": "the circuit, next try in {seconds:g} s ({cause})",
    "credentials": "refused credentials, next try in {seconds:g} s ({cause})",
    "rate": "the rate",
    "in_flight": "the cap on requests in flight",
}
IN_A_WORD: Final[dict[Holds, str]] = {
    "": "nothing",
    "paused": "an operator",
    "pause": "a 429",
    "circuit": "the circuit",
    "credentials": "credentials",
    "rate": "the rate",
    "in_flight": "its cap",
}
# What a job waits for, by the reason in the log and the ledger.
AWAITED: Final = {
    "paused": "an operator to resume it (paused)",
    "notBefore": "its time (notBefore)",
    "retry": "its pause after the last attempt",
    "consumer": "another job of its consumer",
    "rate": "the account's rate",
    "in_flight": "the account's cap on requests in flight",
    "pause": "the account's pause after a 429",
    "circuit": "the account to be answered again (circuit)",
    "credentials": "credentials that LivePerson accepts",
    "pace": "its submission's pace",
    "crowded": "a free slot in a worker",
}


def console() -> Console:
    """Return a console; without a terminal it neither colours nor cuts."""
    width = width_of_terminal() or PLAIN_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def show_overview(overview: Overview, width: int | None = None) -> Text:
    """Return an overview as text, for a terminal of this width, or for none."""
    lines = [
        *_pauses(overview),
        *_table(QUEUES, _queues(overview), width),
        "",
        *_table(ACCOUNTS, map(_account, overview.accounts), width),
        "",
        *_holds(overview),
        *_failures(overview),
        f"workers: {len(overview.workers)}  {' '.join(overview.workers)}".rstrip(),
        *(f"worker {worker} is held up: {said}" for worker, said in overview.troubles.items()),
    ]
    return Text("\n".join(printable(line) for line in lines))


def describe(record: Record) -> Iterator[str]:
    """Yield the lines that describe a job."""
    yield f"job {record.job_id} of account {record.account_id}: {record.state}"
    if record.seen_at:
        yield f"  {record.seen_at}  first seen by a worker"
    for attempt in record.attempts:
        at, status, outcome = attempt.get("at"), attempt.get("httpStatus"), attempt.get("outcome")
        if outcome == UNRESOLVED:
            cause = f" ({attempt['cause']})" if attempt.get("cause") else ""
            yield f"  {at}  looked for the conversation: HTTP {status or '-'}, not found{cause}"
        elif outcome == REPLAYED:
            yield f"  {at}  replayed by an operator"
        else:
            cause = f": {attempt['cause']}" if attempt.get("cause") else ""
            answer = f"HTTP {status}" if status else "no answer"
            yield f"  {at}  attempt: {answer}, {outcome}{cause}"
    if record.sending_since:
        yield f"  {record.sending_since}  sent, no answer yet ({record.owner})"
    if record.waits_for:
        yield f"  {record.next_attempt_at}  next attempt: waits for {_awaited(record.waits_for)}"
    if record.is_cancelled:
        yield "  cancelled: takes effect at its next turn"
    if record.outcome:
        yield from _outcome(record.outcome)


def _awaited(why: str) -> str:
    return AWAITED.get(why, why)


def _outcome(outcome: Any) -> Iterator[str]:
    if error := outcome.get("error"):
        yield f"  {outcome.get('failedAt')}  failed as {error.get('code')}: {error.get('message')}"
        return
    requests = counted(outcome.get("attempts", 0), "request")
    resolved = f", found through {outcome['resolvedBy']}" if "resolvedBy" in outcome else ""
    yield (
        f"  {outcome.get('createdAt')}  {outcome.get('status')}: conversation "
        f"{outcome.get('conversationId')} after {requests}{resolved}"
    )


def _table(columns: Sequence[Column], rows: Iterable[Document], width: int | None) -> Iterator[str]:
    shown = Rows("table", columns, width=width)
    if shown.header:
        yield shown.header
    for row in rows:
        yield from shown.line(row).splitlines()


def _queues(overview: Overview) -> Iterator[Document]:
    for queue in overview.queues:
        delayed = queue.delayed
        if delayed is None and queue.name == JOBS_QUEUE:
            # RabbitMQ's delayed queues are common to all jobs queues.
            delayed = overview.delayed
        yield {
            "queue": queue.name,
            "waiting": queue.ready,
            "delayed": delayed,
            "in hand": queue.unacked,
        }


def _account(account: AccountView) -> Document:
    outcomes, standing = account.outcomes, account.standing
    return {
        "account": account.account_id,
        "created": outcomes.get("created", 0),
        "reused": outcomes.get("reused", 0),
        "failed": sum(count for name, count in outcomes.items() if name.startswith(FAILED)),
        "in flight": f"{standing.in_flight} of {_number(account.max_in_flight)}",
        "rate": f"{standing.accepted:.3g} of "
        + ("-" if account.max_rate is None else f"{account.max_rate:g}/s"),
        "held by": IN_A_WORD[standing.holds],
    }


def _holds(overview: Overview) -> Iterator[str]:
    """Yield sentences that explain the table's words."""
    for account in overview.accounts:
        said = held_by(account.standing)
        if said != HOLDS[account.standing.holds]:
            yield f"account {account.account_id} is held by {said}"


def _pauses(overview: Overview) -> list[str]:
    """Return the pauses as sentences, each once: a pause of all accounts is in each, too."""
    said = [pause.sentence() for pause in overview.pauses]
    said += [
        pause.sentence(account.account_id)
        for account in overview.accounts
        for pause in account.standing.pauses
    ]
    return [f"PAUSED: {sentence}" for sentence in dict.fromkeys(said)]


def held_by(standing: Standing) -> str:
    """Return what holds an account now, and its learned limits."""
    what = HOLDS[standing.holds].format(seconds=standing.seconds, cause=standing.cause)
    rate, in_flight = standing.learned_rate, standing.learned_in_flight
    learned = [f"{rate:.3g}/s"] if rate is not None else []
    learned += [f"{in_flight} in flight"] if in_flight is not None else []
    return f"{what}; learned: {', '.join(learned)}" if learned else what


def lesson(standing: Standing) -> str:
    """Say how a limit was learned, and when a higher one is tried; empty if there is none."""
    parts = []
    is_learned = standing.learned_rate is not None or standing.learned_in_flight is not None
    if is_learned and standing.learned_from is not None and standing.learned_at is not None:
        above = "more" if standing.learned_rate is None else f"{standing.learned_at:.3g}/s"
        parts.append(f"{standing.learned_from:.0%} were refused at {above}")
    if is_learned:
        again = "now" if standing.try_in is None else f"in {standing.try_in:.0f} s"
        parts.append(f"more is tried {again}")
    if standing.tolerated is not None:
        parts.append(f"{standing.tolerated:.1%} are refused at any pace")
    return "; ".join(parts)


def _failures(overview: Overview) -> Iterator[str]:
    for account in overview.accounts:
        if codes := _codes(account):
            yield f"account {account.account_id} failed: {codes}"


def _codes(account: AccountView) -> str:
    found = (
        f"{name.removeprefix(FAILED)} {count}"
        for name, count in account.outcomes.items()
        if name.startswith(FAILED)
    )
    return ", ".join(found)


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


Form = Literal["jsonl", "csv", "table"]
Document = dict[str, Any]

GAP: Final = "  "
# Some spreadsheets ignore blanks before a formula, and some accept full-width characters.
_FORMULA: Final = re.compile(r"[\t\r]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
# Control characters, except newlines and tabs, which a cell may contain.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `width` is in characters, 0 for a column that is not in tables.

    Only `prose`, such as a reason, is cut if it does not fit; it comes last.
    """

    name: str
    value: Callable[[Document], object]
    width: int = 0
    prose: bool = False
    is_number: bool = False


class Rows:
    """Writes documents of one kind in one form, a line each."""

    def __init__(
        self,
        form: Form,
        columns: Sequence[Column],
        *,
        delimiter: str = ",",
        width: int | None = None,
    ) -> None:
        """`delimiter` separates the cells of CSV; `width` is that of a table, None for no limit.

        If the columns do not fit beside each other, each document takes several lines.
        """
        self._form = form
        self._delimiter = delimiter
        self._columns = columns
        self._width = width
        needed = sum(column.width + len(GAP) for column in self._shown) - len(GAP)
        self._is_narrow = width is not None and needed > width

    @property
    def header(self) -> str | None:
        """The line before the first, if the form has one."""
        if self._form == "csv":
            names = [_harmless(column.name) for column in self._columns]
            return _csv(names, self._delimiter)
        if self._form == "table" and not self._is_narrow:
            return self._aligned([column.name.upper() for column in self._shown])
        return None

    def line(self, document: Document) -> str:
        """Return one document as a line; in CSV it may contain newlines."""
        if self._form == "jsonl":
            return escaped(dumps_compact(document).decode())
        if self._form == "csv":
            cells = [_harmless(column.value(document)) for column in self._columns]
            return _csv(cells, self._delimiter)
        cells = [_printable(column.value(document)) for column in self._shown]
        return self._stacked(cells) if self._is_narrow else self._aligned(cells)

    @property
    def _shown(self) -> list[Column]:
        return [column for column in self._columns if column.width]

    def _aligned(self, cells: list[str]) -> str:
        # People copy ids: a long one is never cut, but moves the rest of its line.
        line = ""
        for cell, column in zip(cells, self._shown, strict=True):
            shown = cell
            if column.prose and self._width is not None:
                # The last column gets the rest of the line.
                shown = shortened(cell, max(column.width, self._width - len(line)))
            pad = shown.rjust if column.is_number else shown.ljust
            line += f"{pad(column.width)}{GAP}"
        return line.rstrip()

    def _stacked(self, cells: list[str]) -> str:
        """Return the first cell, with the others and their names below it, in lines that fit."""
        assert self._width is not None
        filled = [pair for pair in zip(self._shown, cells, strict=True) if pair[1] != "-"]
        lines = [cell for _, cell in filled[:1]]
        line = ""
        for column, cell in filled[1:]:
            named = f"{column.name} {cell}"
            if column.prose:
                named = shortened(named, self._width - len(GAP))
            if line and len(line) + len(GAP) + len(named) > self._width:
                lines.append(line)
                line = ""
            line += f"{GAP}{named}"
        return "\n".join([*lines, line] if line else lines)


def shortened(text: str, width: int) -> str:
    """Cut a text to a width."""
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def width_of_terminal() -> int | None:
    """Return the width of standard output; None if it is not a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def at(path: str) -> Callable[[Document], object]:
    """Return a function that reads the value at a dotted path, or None."""

    def value(document: Document) -> object:
        place: Any = document
        for part in path.split("."):
            place = place.get(part) if isinstance(place, dict) else None
        return place

    return value


QUEUES: Final = (
    Column("queue", at("queue"), width=27),
    Column("waiting", at("waiting"), width=8, is_number=True),
    Column("delayed", at("delayed"), width=8, is_number=True),
    Column("in hand", at("in hand"), width=8, is_number=True),
)
ACCOUNTS: Final = (
    Column("account", at("account"), width=10),
    Column("created", at("created"), width=8, is_number=True),
    Column("reused", at("reused"), width=6, is_number=True),
    Column("failed", at("failed"), width=6, is_number=True),
    Column("in flight", at("in flight"), width=9, is_number=True),
    Column("rate", at("rate"), width=13, is_number=True),
    Column("held by", at("held by"), width=11),
)


def _csv(cells: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    # The csv module quotes a cell with a newline only if that is its own line terminator.
    csv.writer(line, lineterminator="\n", delimiter=delimiter).writerow(cells)
    return line.getvalue().removesuffix("\n")


def _harmless(value: object) -> str:
    """Return a cell that no spreadsheet calculates, and that cannot control a terminal.

    A formula gets a quote in front, as in spreadsheets (OWASP, CSV Injection).
    """
    text = _CONTROL.sub("\ufffd", _cell(value))
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) else text


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps_compact(value).decode()


def _printable(value: object) -> str:
    return click.unstyle(printable(_cell(value))) or "-"
