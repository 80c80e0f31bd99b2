"""The outcome of a job, as the message to publish: it is recorded first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import orjson

from config.names import CREATED_KEY, EXCHANGE_NAME, FAILED_KEY, REUSED_KEY
from tasks.messages.attempt import Attempt
from tasks.messages.call import CALL_BYTES, argument_of, as_call, call_body
from tasks.messages.dead_letter import Cut, DeadLetter, ErrorCode, cut_down, dead_letter_id
from tasks.messages.job import InvalidJob, Job
from tasks.messages.json_text import dumps_compact
from tasks.messages.outgoing import Outgoing, now
from tasks.messages.trace import NO_TRACE, Trace

# The `counter` of an outcome that was recorded, and counted, before.
REPEATED: Final = "replayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A result or a dead letter, byte for byte.

    `counter` names the counter that it adds to: created, reused, or failed with its code; REPEATED
    adds to none. `account_id` is empty if the ledger has no record of it, `created_id` if no
    conversation was opened. `trace` is the job's.
    """

    message_id: str
    account_id: str
    routing_key: str
    body: bytes = field(repr=False)
    counter: str
    created_id: str = ""
    trace: Trace = field(default_factory=dict)

    def outgoing(self, task: str | None = None) -> Outgoing:
        """Return the message to publish; as a call of a Celery `task`, if one is named."""
        message = Outgoing(
            exchange=EXCHANGE_NAME,
            routing_key=self.routing_key,
            body=self.body,
            message_id=self.message_id,
            type=self.routing_key,
            headers=self.trace,
        )
        return as_call(message, task) if task else message


def opened(
    job: Job,
    *,
    status: Literal["created", "reused"],
    conversation_id: str,
    lp_consumer_id: str | None,
    attempts: int,
    enqueued_at: str,
    resolved_by: str | None,
    conversation: Mapping[str, Any],
    opened_with: Mapping[str, Any] | None = None,
    trace: Trace = NO_TRACE,
) -> Outcome:
    """Return the result of a job; `conversation` is the body that was sent.

    For a reused conversation, `opened_with` are the client properties of the job that opened it.
    """
    is_ours = status == "created"
    fields = {
        "jobId": job.job_id,
        "accountId": job.account_id,
        "consumerId": job.consumer_id,
        "lpConsumerId": lp_consumer_id,
        "status": status,
        "conversationId": conversation_id,
        # The main dialog of a conversation has the conversation's id (LivePerson's guide).
        "dialogId": conversation_id,
        "attempts": attempts,
        "enqueuedAt": enqueued_at,
        "createdAt": now(),
        "resolvedBy": resolved_by,
        "clientProperties": job.client_properties if is_ours else opened_with,
        "campaignInfo": conversation.get("campaignInfo") if is_ours else None,
        "conversationContext": conversation.get("conversationContext") if is_ours else None,
        "submissionId": job.submission_id,
        "metadata": job.metadata,
    }
    # What does not apply is left out.
    message = {name: value for name, value in fields.items() if value is not None}
    return Outcome(
        message_id=job.job_id,
        account_id=job.account_id,
        routing_key=CREATED_KEY if is_ours else REUSED_KEY,
        body=dumps_compact(message),
        counter=status,
        created_id=conversation_id if is_ours else "",
        trace=trace,
    )


def failed(
    job: Job,
    document: Mapping[str, Any],
    *,
    code: ErrorCode,
    message: str,
    http_status: int | None = None,
    error_code: int | None = None,
    attempts: Sequence[Attempt] = (),
    trace: Trace = NO_TRACE,
) -> Outcome:
    """Return the dead letter of a job; `document` is the job as it was received."""
    letter = DeadLetter(
        code=code,
        message=message,
        failed_at=now(),
        job=document,
        http_status=http_status,
        error_code=error_code,
        attempts=tuple(attempts),
    )
    # The ledger has no record of a conflict: the record with its id is the first job's.
    account_id = "" if code == "conflict" else job.account_id
    return _dead(letter, message_id=job.job_id, account_id=account_id, trace=trace)


def invalid(document: object, raw: bytes, error: InvalidJob, *, trace: Trace = NO_TRACE) -> Outcome:
    """Return the dead letter of a job with faults."""
    is_object = isinstance(document, dict)
    letter = DeadLetter(
        code=error.code,
        message=error.message,
        failed_at=now(),
        job=document if isinstance(document, dict) else None,
        raw=None if is_object else raw,
    )
    return _dead(letter, message_id=dead_letter_id(document, raw), trace=trace)


def malformed(
    raw: bytes, reason: str, *, cut: Cut | None = None, trace: Trace = NO_TRACE
) -> Outcome:
    """Return the dead letter of a message that is not a job; with `cut`, `raw` is its beginning."""
    return _raw("malformed_message", raw, reason, cut=cut, trace=trace)


def broken(raw: bytes, *, trace: Trace = NO_TRACE) -> Outcome:
    """Return the dead letter of a message that a bug of ours kept from being read."""
    reason = "an internal error in Overture; see the worker's log"
    return _raw("internal_error", raw, reason, trace=trace)


def shortened(message: Outgoing, *, most: int) -> Outgoing | None:
    """Cut a dead letter's content so that its body has at most `most` octets.

    Size and digest of the whole content are added. Returns None for a result, and for a dead letter
    that is too large without any content.
    """
    if message.exchange != EXCHANGE_NAME or message.type != FAILED_KEY:
        return None
    document = orjson.loads(message.body)
    letter = argument_of(document)
    if not isinstance(letter, dict) or not letter.keys() & {"job", "raw"}:
        return None
    if letter is document:
        body = dumps_compact(cut_down(letter, most=most))
    else:
        body = call_body(dumps_compact(cut_down(letter, most=most - CALL_BYTES)))
    return replace(message, body=body) if len(body) <= most else None


def _raw(
    code: ErrorCode, raw: bytes, message: str, *, cut: Cut | None = None, trace: Trace
) -> Outcome:
    letter = DeadLetter(code=code, message=message, failed_at=now(), raw=raw, cut=cut)
    message_id = f"raw-{cut.sha256 or cut.sha1}" if cut else dead_letter_id(None, raw)
    return _dead(letter, message_id=message_id, trace=trace)


def _dead(letter: DeadLetter, *, message_id: str, account_id: str = "", trace: Trace) -> Outcome:
    return Outcome(
        message_id=message_id,
        account_id=account_id,
        routing_key=letter.routing_key,
        body=dumps_compact(letter.to_dict()),
        counter=f"failed:{letter.code}",
        trace=trace,
    )
