"""Which message that came out answers which one that went in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from config.names import CREATED_KEY, FAILED_KEY, REUSED_KEY
from tasks.messages.dead_letter import ERROR_CODES
from tests.chaos.received import Received
from tests.chaos.submissions import Submission

ROUTING_KEYS: Final = {"created": CREATED_KEY, "reused": REUSED_KEY, "failed": FAILED_KEY}
MAX_QUOTE: Final = 300


@dataclass(frozen=True, slots=True)
class Ending:
    """One message that came out; `verdict` is created, reused or an error code."""

    verdict: str
    conversation_id: str


@dataclass(slots=True)
class Content:
    """What was submitted, however often, and how that ended."""

    submission: Submission
    submitted: int = 0
    endings: list[Ending] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name it for people."""
        return self.submission.job_id or repr(self.submission.body[:60])


class Matcher:
    """Finds contents by what comes back of them."""

    def __init__(self, submissions: Iterable[Submission]) -> None:
        self.contents: list[Content] = []
        self._index: dict[object, Content] = {}
        for submission in submissions:
            self._add(submission)

    def add(self, message: Received) -> str:
        """Add a message to what it answers; return what is wrong with it, if anything is."""
        try:
            document = json.loads(message.body)
            status = document["status"]
            content = self._index.get(_key_of_answer(document))
            failed = status == "failed"
            verdict = document["error"]["code"] if failed else status
            ending = Ending(verdict, "" if failed else document["conversationId"])
        except (ValueError, KeyError, TypeError) as error:
            quoted = message.body[:MAX_QUOTE]
            return f"{message.queue} holds {quoted!r}, {message.headers}: {error!r}"
        if content is None:
            return f"{message.queue}: never submitted: {message.body[:MAX_QUOTE]!r}"
        content.endings.append(ending)
        return _wrong_dress(message, content, status, verdict)

    def _add(self, submission: Submission) -> None:
        keys = list(_keys_of(submission))
        content = self._index.get(keys[-1])
        if content is None:
            content = Content(submission)
            self.contents.append(content)
            self._index.update(dict.fromkeys(keys, content))
        content.submitted += 1


def _wrong_dress(message: Received, content: Content, status: str, verdict: str) -> str:
    """Say what about a message, beside its body, is not as documented."""
    if message.type != ROUTING_KEYS[status] or message.content_type != "application/json":
        return f"{content.name}: a message of type {message.type} and {message.content_type}"
    if content.submission.job_id and message.message_id != content.submission.job_id:
        return f"{content.name}: a message with the id {message.message_id}"
    if status == "failed" and verdict not in ERROR_CODES:
        return f"{content.name}: no such code: {verdict}"
    return ""


def _keys_of(submission: Submission) -> Iterator[object]:
    """Name every way in which a message may come back; the last one tells contents apart."""
    document = submission.document or _object_in(submission.body)
    if document is not None:
        yield "job", _canonical(document)
        yield "result", document.get("jobId"), _canonical(document.get("metadata"))
    yield "raw", sha256(submission.body).digest()


def _key_of_answer(document: Mapping[str, Any]) -> object:
    if "job" in document:
        return "job", _canonical(document["job"])
    if "raw" in document:
        text = document["raw"]
        raw = base64.b64decode(text) if document["rawEncoding"] == "base64" else text.encode()
        return "raw", sha256(raw).digest()
    return "result", document["jobId"], _canonical(document.get("metadata"))


def _object_in(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _canonical(document: object) -> str:
    return json.dumps(document, sort_keys=True)
