"""A finished attempt at a job, as the ledger keeps it and as dead letters list it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from tasks.messages.fields.messages import AttemptMessage, AttemptOutcome

# The mark of an operator's replay in a job's history.
REPLAYED: Final = "replayed"
# The mark of a look-up without a result. While it is the last one, the conversation is looked up
# again and nothing is sent (tasks/store/lua/begin.lua).
UNRESOLVED: Final = "unresolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One finished request to LivePerson; `at` is RFC 3339 in UTC, to the millisecond.

    `outcome` is an AttemptOutcome, or `created` for a request that leads to a result. `cause` names
    service, host, and error or HTTP status, in at most 200 characters. `note` is for the next
    decision (tasks/retry.py), and only in the ledger.
    """

    at: str
    http_status: int | None
    outcome: str
    cause: str = ""
    note: str = ""

    def to_dict(self) -> AttemptMessage:
        """Return it as it is in dead letters."""
        return {
            "at": self.at,
            "httpStatus": self.http_status,
            "cause": self.cause or None,
            "outcome": cast("AttemptOutcome", self.outcome),
        }

    def to_record(self) -> Mapping[str, Any]:
        """Return it as it is in the ledger; begin.lua relies on the outcome being last."""
        record: dict[str, Any] = {"at": self.at, "httpStatus": self.http_status}
        if self.cause:
            record["cause"] = self.cause
        if self.note:
            record["note"] = self.note
        return {**record, "outcome": self.outcome}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` or `to_record` wrote."""
        return cls(
            at=record["at"],
            http_status=record["httpStatus"],
            outcome=record["outcome"],
            cause=record.get("cause") or "",
            note=record.get("note", ""),
        )
