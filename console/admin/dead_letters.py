"""Reads dead letters, including those that the broker itself has made."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, cast

from tasks.messages.call import read_outcome
from tasks.messages.dead_letter import DeadLetter, dead_letter_id
from tasks.messages.intake import Malformed, Received, read
from tasks.messages.json_text import MalformedJSON, dumps_compact
from tasks.messages.outgoing import rfc3339

# RabbitMQ's header on a message that it has moved itself.
DEATH_HEADER: Final = "x-death"
# The length of a reason's key.
REASON_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A message of the dead-letter queue.

    `document` is the dead letter as documented; for a message that the broker has moved it is made
    here.
    """

    document: Mapping[str, Any] = field(repr=False)

    @property
    def job(self) -> Mapping[str, Any] | None:
        """The job as it was received, if it was a JSON object."""
        job = self.document.get("job")
        return job if isinstance(job, dict) else None

    @property
    def job_id(self) -> str:
        """Its job's id; a message that was not a job has an id of its own."""
        if digest := self.document.get("rawSha256") or self.document.get("rawSha1"):
            return f"raw-{digest}"
        return dead_letter_id(self.job, self._octets())

    def _octets(self) -> bytes:
        """Return the message as it was received; for a job, its JSON without spaces."""
        if "raw" not in self.document:
            return dumps_compact(self.document.get("job"))
        raw = str(self.document["raw"])
        is_base64 = self.document.get("rawEncoding") == "base64"
        return b64decode(raw) if is_base64 else raw.encode()

    @property
    def account_id(self) -> str | None:
        """Its job's account, if the job names one."""
        account_id = (self.job or {}).get("accountId")
        return account_id if isinstance(account_id, str) else None

    @property
    def code(self) -> str:
        """Why the job failed."""
        return str(self.document["error"].get("code"))

    @property
    def message(self) -> str:
        """Why the job failed, in a sentence."""
        return str(self.document["error"].get("message") or "")

    @property
    def submission_id(self) -> str | None:
        """Its job's submission, if it has one."""
        submission_id = (self.job or {}).get("submissionId")
        return submission_id if isinstance(submission_id, str) else None


def reason_key(code: str, message: str) -> str:
    """Return a short name of why jobs failed, for addresses: the sentence may name a person."""
    return sha256(f"{code}\0{message}".encode()).hexdigest()[:REASON_CHARACTERS]


def read_dead(body: bytes, headers: Mapping[str, Any]) -> Dead:
    """Read any message of the dead-letter queue."""
    try:
        document = read_outcome(body)
    except MalformedJSON:
        document = None
    match document:
        case {"status": "failed", "error": dict(error), **rest} if _is_error(
            error
        ) and _is_readable(rest):
            return Dead(document=cast("Mapping[str, Any]", document))
    job = _job(body, headers)
    reason = _reason(headers)
    letter = DeadLetter(
        # Celery also sets its `expires` as the broker's time limit.
        code="expired" if reason == "expired" else "internal_error",
        message=f"the broker gave the message up: {reason}",
        failed_at=rfc3339(_given_up_at(headers)),
        job=job,
        raw=body if job is None else None,
    )
    return Dead(document=cast("Mapping[str, Any]", letter.to_dict()))


def _is_error(error: Mapping[Any, object]) -> bool:
    """Tell whether an error has the fields of one that a worker wrote."""
    attempts = error.get("attempts") or []
    return (
        isinstance(error.get("code"), str)
        and isinstance(attempts, list)
        and all(isinstance(one, dict) for one in attempts)
    )


def _is_readable(document: Mapping[Any, object]) -> bool:
    """Tell whether the raw message in a dead letter can be decoded."""
    if document.get("rawEncoding") != "base64":
        return True
    try:
        b64decode(str(document.get("raw", "")), validate=True)
    except ValueError:
        return False
    return True


def _job(body: bytes, headers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the job in a producer's message, if there is one."""
    message = Received(body=body, headers=headers, content_type="", content_encoding="")
    try:
        document = read(message, max_bytes=len(body)).document
    except Malformed:
        return None
    return document if isinstance(document, dict) else None


def _given_up_at(headers: Mapping[str, Any]) -> datetime:
    """Return when the broker moved the message, so that it is the same each time."""
    match headers.get(DEATH_HEADER):
        case [{"time": datetime() as at}, *_]:
            return at if at.tzinfo else at.replace(tzinfo=UTC)
    return datetime.now(UTC)


def _reason(headers: Mapping[str, Any]) -> str:
    match headers.get(DEATH_HEADER):
        case [{"reason": reason}, *_]:
            return str(reason)
    return "no reason is known"
