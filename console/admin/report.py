"""The report of a submission: each row of the input with its outcome, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from redis import Redis

from config.names import CREATED_KEY, FAILED_KEY
from config.settings import Settings
from console.admin.records import FORGOTTEN, Ending, read_endings
from console.admin.submissions import FAILED, About, ended_jobs
from console.jobfiles.batch_form import batches
from console.jobfiles.job_file import Entry
from console.jobfiles.repeats import Repeats
from console.jobfiles.source import Source
from console.jobfiles.submission import Accepted, Rejected, check
from tasks.messages.job import Reading
from tasks.messages.json_text import dumps_compact
from tasks.messages.outgoing import rfc3339
from tasks.store.connection import MILLISECONDS

BATCH_ROWS: Final = 500
# The possible outcomes of a row.
OUTCOMES: Final = ("created", "reused", "failed", "waiting", "rejected", "not sent")
# How many columns of a JSON document are shown: it has one for each name.
MAX_COLUMNS: Final = 200
# The report's own columns, after those of the input.
OWN: Final = (
    *("jobId", "accountId", "consumerId"),
    *("outcome", "code", "conversationId", "reason", "attempts", "endedAt"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the input, or a job without a file, with its outcome.

    `line` is its number in the file; `given` are its cells, by column.
    """

    line: int | None
    given: Mapping[str, object] = field(repr=False)
    job_id: str | None = None
    account_id: str | None = None
    consumer_id: str | None = None
    outcome: str
    code: str | None = None
    conversation_id: str | None = None
    reason: str | None = None
    attempts: int | None = None
    ended_at: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON shows it."""
        return {
            "line": self.line,
            **dict(zip(OWN, self.cells(), strict=True)),
            "input": dict(self.given),
        }

    def cells(self) -> tuple[object, ...]:
        """Return the values of the report's own columns."""
        return (
            *(self.job_id, self.account_id, self.consumer_id),
            *(self.outcome, self.code, self.conversation_id, self.reason),
            *(self.attempts, self.ended_at),
        )

    @property
    def name(self) -> str:
        """The name under which it is counted: its outcome, with the code of a failure."""
        return f"{FAILED}{self.code}" if self.code else self.outcome


class FileReport:
    """The report of a file, with its rows in their order."""

    def __init__(
        self, store: Redis, source: Source, about: About, *, settings: Settings, days: float
    ) -> None:
        """`days` is how long the ledger keeps ended jobs."""
        self._store = store
        self._source = source
        self._about = about
        self._settings = settings
        self._days = days

    @property
    def delimiter(self) -> str:
        """The separator of the input's cells, so that the same program can open the report."""
        return self._source.delimiter

    def columns(self) -> list[str]:
        """Return the names of the input's columns, in their order."""
        names: dict[str, None] = {}
        for entry in self._entries():
            names.update(dict.fromkeys(_given(entry)))
            if entry.cells is not None or len(names) > MAX_COLUMNS:
                break  # all rows of a table have the same columns
        self._source.rewind()
        return list(names)[:MAX_COLUMNS]

    def rows(self) -> Iterator[Row]:
        """Yield the rows. Raises StoreError and UnreadableFile."""
        entries = self._entries()
        while batch := list(islice(entries, BATCH_ROWS)):
            checked = [self._check(entry) for entry in batch]
            jobs = [one for one in checked if isinstance(one, Accepted)]
            found = iter(read_endings(self._store, [(one.account_id, one.job_id) for one in jobs]))
            for entry, one in zip(batch, checked, strict=True):
                if isinstance(one, Rejected):
                    yield Row(
                        line=entry.number,
                        given=_given(entry),
                        outcome="rejected",
                        reason=one.reason,
                    )
                else:
                    yield self._row(entry, one, next(found))

    def _entries(self) -> Iterator[Entry]:
        return batches(self._source.entries(max_bytes=self._settings.max_message_bytes, skip=0))

    def _check(self, entry: Entry) -> Accepted | Rejected:
        options = self._about.options
        return check(
            entry,
            accounts=self._settings.accounts.keys(),
            account_id=options.get("account"),
            reading=Reading(
                pass_unknown=self._settings.unknown_fields == "pass",
                unauthenticated=self._settings.unauthenticated_accounts,
            ),
            consumer_id_from=options.get("consumerIdFrom"),
            submission_id=self._about.submission_id,
        )

    def _row(self, entry: Entry, job: Accepted, ending: Ending) -> Row:
        known: dict[str, Any] = {
            "line": entry.number,
            "given": _given(entry),
            "job_id": job.job_id,
            "account_id": job.account_id,
            "consumer_id": job.document["consumerId"],
        }
        if not ending.is_of(job.digest):
            reason = "the jobId was used before with other content"
            return Row(**known, outcome="failed", code="conflict", reason=reason)
        if ending.key:
            return Row(**known, **_ended(ending))
        if not ending.waits_for and not ending.digest and not self._is_sent(entry.number):
            return Row(**known, outcome="not sent", reason="the submission broke off before it")
        return Row(**known, outcome="waiting", reason=self._waits(ending))

    def _is_sent(self, number: int) -> bool:
        return self._about.sent_at is not None or number <= self._about.through

    def _waits(self, ending: Ending) -> str:
        if ending.waits_for:
            due = f", until {_moment(ending.due)}" if ending.due else ""
            return f"waits for {ending.waits_for}{due}"
        if ending.digest:
            return "a worker has it"
        return f"in the queue, or it ended more than {self._days:g} days ago"


class JobReport:
    """The report of a submission without its file: its ended jobs."""

    delimiter = ","

    def __init__(
        self,
        store: Redis,
        accounts: Iterable[str],
        submission_id: str,
        *,
        seconds: float,
        every: int = 1,
    ) -> None:
        """`seconds` is how long the ledger keeps ended jobs.

        It has about one job in `every`, taken evenly from the first to the last.
        """
        self._store = store
        self._accounts = sorted(accounts)
        self._submission_id = submission_id
        self._seconds = seconds
        self._every = every

    def columns(self) -> list[str]:
        """Return no names: there is no input."""
        return []

    def rows(self) -> Iterator[Row]:
        """Yield each job once, in the order of their ends. Raises StoreError and NotKept."""
        with closing(Repeats()) as known:
            for account_id, batch in self._batches():
                # A replayed job has ended more than once.
                new = [job_id for job_id in batch if known.is_new(account_id, job_id, "")]
                endings = read_endings(self._store, [(account_id, job_id) for job_id in new])
                for job_id, ending in zip(new, endings, strict=True):
                    if ending.key:
                        yield self._row(account_id, job_id, ending)

    def _batches(self) -> Iterator[tuple[str, list[str]]]:
        for account_id in self._accounts:
            for batch in ended_jobs(
                self._store,
                account_id,
                self._submission_id,
                seconds=self._seconds,
                every=self._every,
            ):
                yield account_id, batch

    def _row(self, account_id: str, job_id: str, ending: Ending) -> Row:
        job = ending.outcome.get("job") or ending.outcome
        return Row(
            line=None,
            given={},
            job_id=job_id,
            account_id=account_id,
            consumer_id=job.get("consumerId"),
            **_ended(ending),
        )


def _ended(ending: Ending) -> dict[str, Any]:
    """Return the columns of an ended job."""
    outcome = ending.outcome
    if ending.key == FORGOTTEN:
        return {"outcome": FORGOTTEN}
    if ending.key == FAILED_KEY:
        error = outcome["error"]
        return {
            "outcome": "failed",
            "code": error["code"],
            "reason": error["message"],
            "attempts": len(error.get("attempts") or ()),
            "ended_at": outcome.get("failedAt"),
        }
    return {
        "outcome": "created" if ending.key == CREATED_KEY else "reused",
        "conversation_id": outcome.get("conversationId"),
        "attempts": outcome.get("attempts"),
        "ended_at": outcome.get("createdAt"),
    }


def _moment(milliseconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(milliseconds / MILLISECONDS, UTC))


def _given(entry: Entry) -> Mapping[str, object]:
    """Return an entry's values by column: a name in a table, a path in a document."""
    if entry.cells is not None:
        return entry.cells
    if isinstance(entry.document, dict):
        return dict(_paths(entry.document))
    text = entry.text or dumps_compact(entry.document).decode()
    return {"text": text}


def _paths(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        path = f"{above}{name}"
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{path}.")
        else:
            yield path, value


@dataclass(slots=True)
class Summary:
    """The counts of a report's rows, with some of the rows that need attention."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    shown: list[Row] = field(default_factory=list)
    most_shown: int = 500

    def add(self, row: Row) -> None:
        """Count one more."""
        self.counts[row.name] += 1
        if row.outcome in {"failed", "rejected", "not sent"}:
            self.reasons.setdefault(row.name, row.reason or "")
            if len(self.shown) < self.most_shown:
                self.shown.append(row)


def summarized(rows: Iterable[Row]) -> Summary:
    """Count the rows of a report."""
    found = Summary()
    for row in rows:
        found.add(row)
    return found


def only(rows: Iterable[Row], outcomes: Sequence[str]) -> Iterator[Row]:
    """Yield the rows with one of these outcomes or error codes."""
    return (row for row in rows if not outcomes or {row.outcome, row.code} & set(outcomes))
