"""The dead letter of a job without a conversation, or of a message that is not a job."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, cast

from config.names import FAILED_KEY
from tasks.messages.attempt import Attempt
from tasks.messages.fields.messages import (
    ERROR_CODES,
    DeadJob,
    DeadMessage,
    ErrorCode,
    ErrorMessage,
)
from tasks.messages.job import readable_job_id
from tasks.messages.json_text import dumps_compact

__all__ = [
    "ERROR_CODES",
    "Cut",
    "DeadLetter",
    "ErrorCode",
    "cut_down",
    "dead_letter_id",
]

# What a broker may count in addition to the body.
_MARGIN_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Size and digest of a message of which only the beginning was kept.

    One of the digests is set, in hexadecimal: a Redis server computes only SHA-1.
    """

    size: int
    sha256: str = ""
    sha1: str = ""

    @property
    def digest(self) -> str:
        """The digest, with the name of its kind."""
        return f"SHA-256 {self.sha256}" if self.sha256 else f"SHA-1 {self.sha1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A job without a conversation: what was received, and why it ended.

    Exactly one of `job` (a JSON object, valid or not) and `raw` (any other message, byte for byte)
    is set; with `cut`, `raw` is only the beginning. `error_code` is LivePerson's own number, such
    as 40102.
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
        """Refuse a dead letter without content, or with both kinds of it."""
        if (self.job is None) == (self.raw is None):
            raise ValueError("a dead letter holds either the job or the raw message")

    @property
    def routing_key(self) -> str:
        """The routing key, which is also the message's `type`."""
        return FAILED_KEY

    def to_dict(self) -> DeadJob | DeadMessage:
        """Return the message."""
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
    """Return a dead letter's id: its job's, or else a digest of the bytes that were received.

    So a message that comes twice gives the same dead letter twice.
    """
    return readable_job_id(document) or f"raw-{sha256(raw).hexdigest()}"


def cut_down(letter: Mapping[str, Any], *, most: int) -> DeadMessage:
    """Return a dead letter with only the beginning of its content.

    As JSON it has about `most` octets at most. A job is no longer one once it is cut: it becomes
    `raw`, as JSON text.
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
        # If it was cut before, the size of the whole is there already.
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
    # How much JSON's escapes add is known only after writing it.
    size = room
    while len(dumps_compact(kept := whole[:size].decode("utf-8", errors="ignore"))) > room + 2:
        size = size * 7 // 8
    return cast("DeadMessage", {**message, "raw": kept})


def _text(raw: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    try:
        return raw.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return b64encode(raw).decode("ascii"), "base64"
