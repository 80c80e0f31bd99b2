"""How an overview and a job's record look on a terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from config.names import JOBS_QUEUE
from console.admin.overview import AccountView, Overview
from console.admin.records import Record
from console.output import counted, escaped, printable
from tasks.messages.json_text import dumps_compact
from tasks.retry import REPLAYED, UNRESOLVED
from tasks.store.limits import Holds, Standing

# Wide enough for every id, where the output is no terminal and nothing should be cut.
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
# What a job waits for, by what the log and the ledger call it.
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
    """Return a console that neither colours nor cuts what does not go to a terminal."""
    found = Console(highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = PLAIN_WIDTH
    return found


def show_overview(overview: Overview) -> RenderableType:
    """Lay an overview out as tables."""
    return Group(
        *map(Text, _pauses(overview)),
        _queues(overview),
        _accounts(overview),
        *_failures(overview),
        Text(f"workers: {len(overview.workers)}  {' '.join(overview.workers)}".rstrip()),
        *(
            Text(printable(f"worker {worker} is held up: {said}"))
            for worker, said in overview.troubles.items()
        ),
    )


def describe(record: Record) -> Iterator[str]:
    """Tell a job's story, a line each."""
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


def _queues(overview: Overview) -> Table:
    table = Table("queue", box=box.SIMPLE, pad_edge=False)
    for name in ("waiting", "delayed", "in hand"):
        table.add_column(name, justify="right")
    for queue in overview.queues:
        delayed = queue.delayed
        if delayed is None and queue.name == JOBS_QUEUE:
            # RabbitMQ holds what is delayed in queues of its own, not apart for each jobs queue.
            delayed = overview.delayed
        table.add_row(queue.name, str(queue.ready), _number(delayed), _number(queue.unacked))
    return table


def _accounts(overview: Overview) -> Table:
    table = Table("account", box=box.SIMPLE, pad_edge=False)
    for name in ("created", "reused", "failed", "in flight", "max in flight", "rate", "max rate"):
        table.add_column(name, justify="right")
    table.add_column("held by")
    for account in overview.accounts:
        outcomes, standing = account.outcomes, account.standing
        failed = sum(count for name, count in outcomes.items() if name.startswith(FAILED))
        table.add_row(
            account.account_id,
            str(outcomes.get("created", 0)),
            str(outcomes.get("reused", 0)),
            str(failed),
            str(standing.in_flight),
            _number(account.max_in_flight),
            f"{standing.accepted:.3g}/s",
            "-" if account.max_rate is None else f"{account.max_rate:g}/s",
            printable(held_by(standing)),
        )
    return table


def _pauses(overview: Overview) -> list[str]:
    """Say what is paused, each once: what is paused in all accounts is in each of them, too."""
    said = [pause.sentence() for pause in overview.pauses]
    said += [
        pause.sentence(account.account_id)
        for account in overview.accounts
        for pause in account.standing.pauses
    ]
    return [f"PAUSED: {printable(sentence)}" for sentence in dict.fromkeys(said)]


def held_by(standing: Standing) -> str:
    """Say what holds an account now, and what LivePerson has taught the pool."""
    what = HOLDS[standing.holds].format(seconds=standing.seconds, cause=standing.cause)
    rate, in_flight = standing.learned_rate, standing.learned_in_flight
    learned = [f"{rate:.3g}/s"] if rate is not None else []
    learned += [f"{in_flight} in flight"] if in_flight is not None else []
    return f"{what}; learned: {', '.join(learned)}" if learned else what


def lesson(standing: Standing) -> str:
    """Say what the learned limit is learned from, and when a higher one is tried; or nothing."""
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


def _failures(overview: Overview) -> Iterator[Text]:
    for account in overview.accounts:
        if codes := _codes(account):
            yield Text(f"account {account.account_id} failed: {codes}")


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
# Blanks before it are none to some spreadsheets; full-width forms are the same to others.
_FORMULA: Final = re.compile(r"[\t\r]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
# A cell may have lines and tabs within it.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `width` is in characters, and 0 keeps the column out of tables."""

    name: str
    value: Callable[[Document], object]
    width: int = 0


class Rows:
    """Writes documents of one kind in one form, a line each."""

    def __init__(self, form: Form, columns: Sequence[Column], *, delimiter: str = ",") -> None:
        """`delimiter` stands between the cells of CSV."""
        self._form = form
        self._delimiter = delimiter
        self._columns = columns

    @property
    def header(self) -> str | None:
        """The line before the first, if the form has one."""
        if self._form == "csv":
            names = [_harmless(column.name) for column in self._columns]
            return _csv(names, self._delimiter)
        if self._form == "table":
            return self._aligned([column.name.upper() for column in self._shown])
        return None

    def line(self, document: Document) -> str:
        """Write one document; in CSV it may hold newlines."""
        if self._form == "jsonl":
            return escaped(dumps_compact(document).decode())
        if self._form == "csv":
            cells = [_harmless(column.value(document)) for column in self._columns]
            return _csv(cells, self._delimiter)
        return self._aligned([_printable(column.value(document)) for column in self._shown])

    @property
    def _shown(self) -> list[Column]:
        return [column for column in self._columns if column.width]

    def _aligned(self, cells: list[str]) -> str:
        # Ids are there to be copied: a long one is never cut, it moves the rest of its line.
        padded = (cell.ljust(column.width) for cell, column in zip(cells, self._shown, strict=True))
        return GAP.join(padded).rstrip()


def at(path: str) -> Callable[[Document], object]:
    """Return what reads the value at a dotted path, None where there is none."""

    def value(document: Document) -> object:
        place: Any = document
        for part in path.split("."):
            place = place.get(part) if isinstance(place, dict) else None
        return place

    return value


def _csv(cells: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    # It quotes a cell with a newline in it only where that ends a line.
    csv.writer(line, lineterminator="\n", delimiter=delimiter).writerow(cells)
    return line.getvalue().removesuffix("\n")


def _harmless(value: object) -> str:
    """Write a cell so that no spreadsheet calculates it and no terminal obeys it.

    A quote before what begins like a formula is what spreadsheets themselves use (OWASP, CSV
    Injection).
    """
    text = _CONTROL.sub("\ufffd", _cell(value))
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) else text


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps_compact(value).decode()


def _printable(value: object) -> str:
    return click.unstyle(printable(_cell(value))) or "-"
