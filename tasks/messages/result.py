"""What comes out: a result for each conversation, a dead letter for each job that got none."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, Self, cast

from config.names import CREATED_KEY, FAILED_KEY, REUSED_KEY
from tasks.messages.fields.messages import (
    ERROR_CODES,
    AttemptMessage,
    AttemptOutcome,
    DeadJob,
    DeadMessage,
    ErrorCode,
    ErrorMessage,
    ResultMessage,
)
from tasks.messages.job import readable_job_id
from tasks.messages.json_text import dumps_compact

__all__ = [
    "ERROR_CODES",
    "Attempt",
    "Cut",
    "DeadLetter",
    "ErrorCode",
    "Result",
    "cut_down",
    "dead_letter_id",
]

# What a broker may count beside the body.
_MARGIN_BYTES: Final = 16

_ROUTING_KEYS: Final = {"created": CREATED_KEY, "reused": REUSED_KEY}


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
class Attempt:
    """One finished request to LivePerson; `at` is RFC 3339 in UTC, to the millisecond.

    `outcome` is an AttemptOutcome, or `created` for a request that leads to a result. `cause` names
    service, host, and error or HTTP status, in at most 200 characters. `note` is the ledger's own,
    for the next decision (tasks/retry.py): in no message.
    """

    at: str
    http_status: int | None
    outcome: str
    cause: str = ""
    note: str = ""

    def to_dict(self) -> AttemptMessage:
        """Write it as dead letters hold it."""
        return {
            "at": self.at,
            "httpStatus": self.http_status,
            "cause": self.cause or None,
            "outcome": cast("AttemptOutcome", self.outcome),
        }

    def to_record(self) -> Mapping[str, Any]:
        """Write it as the ledger holds it; the outcome comes last (tasks/store/lua/begin.lua)."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A conversation that is open; moments are RFC 3339 in UTC, to the millisecond."""

    job_id: str
    account_id: str
    consumer_id: str
    status: Literal["created", "reused"]
    conversation_id: str
    attempts: int
    created_at: str
    enqueued_at: str | None = None
    lp_consumer_id: str | None = None
    resolved_by: str | None = None
    client_properties: Mapping[str, Any] | None = field(default=None, repr=False)
    campaign_info: Mapping[str, Any] | None = field(default=None, repr=False)
    conversation_context: Mapping[str, Any] | None = field(default=None, repr=False)
    submission_id: str | None = None
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def routing_key(self) -> str:
        """Its routing key, which is also the message's `type`."""
        return _ROUTING_KEYS[self.status]

    def to_dict(self) -> ResultMessage:
        """Write the message; what does not apply is not there."""
        message = {
            "jobId": self.job_id,
            "accountId": self.account_id,
            "consumerId": self.consumer_id,
            "lpConsumerId": self.lp_consumer_id,
            "status": self.status,
            "conversationId": self.conversation_id,
            # The main dialog of a conversation has the conversation's id (LivePerson's guide).
            "dialogId": self.conversation_id,
            "attempts": self.attempts,
            "enqueuedAt": self.enqueued_at,
            "createdAt": self.created_at,
            "resolvedBy": self.resolved_by,
            "clientProperties": self.client_properties,
            "campaignInfo": self.campaign_info,
            "conversationContext": self.conversation_context,
            "submissionId": self.submission_id,
            "metadata": self.metadata,
        }
        return cast(
            "ResultMessage", {name: value for name, value in message.items() if value is not None}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A job that got no conversation, whole: what was received, and why it ended.

    Exactly one of `job` (a JSON object, valid or not) and `raw` (a message that holds none, to the
    byte) is given; with `cut`, `raw` is only its beginning. `error_code` is LivePerson's own
    number, such as 40102.
    """

    code: ErrorCode
    message: str
    failed_at: str
    job: Mapping[str, Any] | None = field(default=None, repr=False)
    raw: bytes | None = field(default=None, repr=False)
    cut: Cut | None = None
    http_status: int | None = None
    error_code: int | None = None
    attempts: tuple[Attempt, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a dead letter without its content, or with two."""
        if (self.job is None) == (self.raw is None):
            raise ValueError("a dead letter holds either the job or the raw message")

    @property
    def routing_key(self) -> str:
        """Its routing key, which is also the message's `type`."""
        return FAILED_KEY

    def to_dict(self) -> DeadJob | DeadMessage:
        """Write the message."""
        error: ErrorMessage = {
            "code": self.code,
            "message": self.message,
            "httpStatus": self.http_status,
            "errorCode": self.error_code,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
        }
        if self.job is not None:
            return {
                "job": dict(self.job),
                "status": "failed",
                "error": error,
                "failedAt": self.failed_at,
            }
        text, encoding = _text(self.raw or b"")
        message: DeadMessage = {
            "raw": text,
            "rawEncoding": encoding,
            "status": "failed",
            "error": error,
            "failedAt": self.failed_at,
        }
        if self.cut is not None:
            message["rawBytes"] = self.cut.size
            if self.cut.sha256:
                message["rawSha256"] = self.cut.sha256
            else:
                message["rawSha1"] = self.cut.sha1
        return message


def dead_letter_id(document: object, raw: bytes) -> str:
    """Identify a dead letter: by its job's id, or else by the bytes that were received.

    A message that comes twice is thus one dead letter twice, and never two.
    """
    return readable_job_id(document) or f"raw-{sha256(raw).hexdigest()}"


def cut_down(letter: Mapping[str, Any], *, most: int) -> DeadMessage:
    """Return a dead letter, as it was written, with the beginning of what it holds.

    Written as JSON it has about `most` octets at most. A job that is cut is no job any more, and
    becomes `raw`, as the text that it was.
    """
    if "job" in letter:
        whole = dumps_compact(letter["job"])
    elif letter["rawEncoding"] == "base64":
        whole = b64decode(letter["raw"])
    else:
        whole = letter["raw"].encode()
    message: dict[str, Any] = {
        "raw": "",
        "rawEncoding": "utf-8",
        # Of one that is cut again, that of the first time.
        "rawBytes": letter.get("rawBytes", len(whole)),
        **(
            {"rawSha1": letter["rawSha1"]}
            if "rawSha1" in letter
            else {"rawSha256": letter.get("rawSha256") or sha256(whole).hexdigest()}
        ),
        **{name: letter[name] for name in ("status", "error", "failedAt")},
    }
    room = max(0, most - len(dumps_compact(message)) - _MARGIN_BYTES)
    if letter.get("rawEncoding") == "base64":
        kept = b64encode(whole[: room * 3 // 4]).decode("ascii")
        return cast("DeadMessage", {**message, "raw": kept, "rawEncoding": "base64"})
    # How much JSON's escapes add shows only in the writing.
    size = room
    while len(dumps_compact(kept := whole[:size].decode("utf-8", errors="ignore"))) > room + 2:
        size = size * 7 // 8
    return cast("DeadMessage", {**message, "raw": kept})


def _text(raw: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    try:
        return raw.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return b64encode(raw).decode("ascii"), "base64"
