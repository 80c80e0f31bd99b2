"""Submitting jobs: each entry of a file is checked as by a worker, and becomes a message."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from config.names import JOBS_EXCHANGE_NAME
from console.jobfiles.batch_form import NotAJob, as_job
from console.jobfiles.job_file import Entry
from tasks.messages.job import AS_DOCUMENTED, InvalidJob, Reading, parse_job
from tasks.messages.json_text import dumps_compact
from tasks.messages.outgoing import Outgoing, now
from tasks.messages.trace import NO_TRACE, Trace
from worker.broker.delivery import ENQUEUED_HEADER

# The namespace of ids for jobs without one.
JOB_IDS: Final = uuid.UUID("1c1f0c0e-6a51-4d0f-9c6e-0d0f3c6a4b52")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A job that can be sent: its complete document, and what is needed to send and find it.

    `digest` is that of its content, as the ledger keeps it.
    """

    number: int
    document: dict[str, Any] = field(repr=False)
    job_id: str
    account_id: str
    priority: int
    digest: str
    got_id: bool
    submission_id: str | None = None
    not_before: datetime | None = None
    warnings: tuple[str, ...] = ()
    has_campaign: bool = True
    has_profile: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An entry that is not a valid job, and why; `content` is what was found, to be corrected.

    `cells` are those of a table's row.
    """

    number: int
    reason: str
    content: dict[str, Any] = field(repr=False)
    cells: Mapping[str, str] | None = field(default=None, repr=False)


def check(
    entry: Entry,
    *,
    accounts: Collection[str],
    account_id: str | None,
    reading: Reading = AS_DOCUMENTED,
    consumer_id_from: str | None = None,
    submission_id: str | None = None,
) -> Accepted | Rejected:
    """Check an entry as a worker with these accounts would; without accounts, any account is valid.

    `account_id`, `submission_id` and the value at the path `consumer_id_from` fill the fields that
    a job lacks. LivePerson's own form of a request is accepted, too. A job without a jobId gets a
    UUID made of its content, so that the same job submitted again is done once.
    """
    try:
        document = as_job(entry.document, consumer_id_from=consumer_id_from)
    except NotAJob as error:
        content = {"job": entry.document}
        return Rejected(number=entry.number, reason=str(error), content=content, cells=entry.cells)
    if entry.fault is not None or not isinstance(document, dict):
        reason = entry.fault or "it is not a JSON object, as a job must be"
        content = {"text": entry.text} if entry.fault is not None else {"job": document}
        return Rejected(number=entry.number, reason=reason, content=content, cells=entry.cells)
    complete = document
    if account_id is not None and "accountId" not in document:
        complete = {**document, "accountId": account_id}
    if submission_id is not None and "submissionId" not in document:
        complete = {**complete, "submissionId": submission_id}
    got_id = "jobId" not in document
    try:
        job = parse_job(
            {**complete, "jobId": "-"} if got_id else complete,
            accounts=accounts or _named(complete),
            reading=reading,
        )
    except InvalidJob as error:
        return Rejected(
            number=entry.number,
            reason=error.message,
            content={"job": document},
            cells=entry.cells,
        )
    job_id = str(uuid.uuid5(JOB_IDS, job.digest)) if got_id else job.job_id
    return Accepted(
        number=entry.number,
        document={"jobId": job_id, **complete},
        job_id=job_id,
        account_id=job.account_id,
        priority=job.priority,
        digest=job.digest,
        got_id=got_id,
        submission_id=job.submission_id,
        not_before=job.not_before,
        warnings=job.warnings,
        has_campaign=job.engagement is not None or "campaignInfo" in job.conversation,
        has_profile=bool(job.profile),
    )


def outgoing(job: Accepted, queue: str) -> Outgoing:
    """Address a job to a jobs queue, as a bare JSON message."""
    return job_message(job.document, queue=queue, message_id=job.job_id, priority=job.priority)


def job_message(
    document: object, *, queue: str, message_id: str, priority: int = 0, trace: Trace = NO_TRACE
) -> Outgoing:
    """Return the message that enqueues a job."""
    return Outgoing(
        exchange=JOBS_EXCHANGE_NAME,
        routing_key=queue,
        body=dumps_compact(document),
        message_id=message_id,
        priority=priority,
        headers={ENQUEUED_HEADER: now(), **trace},
    )


def _named(document: dict[str, Any]) -> Collection[str]:
    account_id = document.get("accountId")
    return (account_id,) if isinstance(account_id, str) else ()
