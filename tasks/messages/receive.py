"""From a message to work: the job it asks for, or the dead letter that it is."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from tasks.messages.fields.kinds import Moment
from tasks.messages.intake import Contents, Malformed, Received, read
from tasks.messages.job import InvalidJob, Job, parse_job
from tasks.messages.outcome import Outcome, invalid, malformed

_MOMENT: Final = TypeAdapter[datetime](Moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job as it is worked on: what it asks for, when it may be sent, and as whom we hold it."""

    job: Job
    document: Mapping[str, Any] = field(repr=False)
    owner: str
    enqueued_at: str | None
    not_before: datetime | None
    expires_at: datetime | None

    def is_expired(self, now: datetime) -> bool:
        """Tell whether the job may no longer be sent."""
        return self.expires_at is not None and now >= self.expires_at

    def seconds_left(self, now: datetime) -> float:
        """Return for how long the job may still be sent."""
        return (self.expires_at - now).total_seconds() if self.expires_at else math.inf

    def seconds_to_wait(self, now: datetime) -> float:
        """Return how long the job must not be sent yet; 0 when it may."""
        return max(0.0, (self.not_before - now).total_seconds()) if self.not_before else 0.0


def receive(
    message: Received,
    *,
    owner: str,
    accounts: Collection[str],
    max_bytes: int,
    enqueued_at: str | None,
) -> Work | Outcome:
    """Read a message. What is no job, or no valid one, is its own outcome."""
    try:
        contents = read(message, max_bytes=max_bytes)
    except Malformed as error:
        return malformed(message.body, str(error), cut=message.cut)
    if contents.callbacks:
        return invalid(contents.document, message.body, _not_run(contents.callbacks))
    try:
        job = parse_job(contents.document, accounts=accounts)
    except InvalidJob as error:
        return invalid(contents.document, message.body, error)
    return _work(job, contents, owner=owner, enqueued_at=_date_time(enqueued_at))


def _not_run(callbacks: Collection[str]) -> InvalidJob:
    return InvalidJob(
        "invalid_job",
        f"the message: carries Celery's {', '.join(callbacks)}, which is not run here; "
        "send the job without it, and start what follows from the results queue",
    )


def _work(job: Job, contents: Contents, *, owner: str, enqueued_at: str | None) -> Work:
    eta, expires = _moment(contents.eta), _moment(contents.expires)
    starts = [moment for moment in (job.not_before, eta) if moment]
    ends = [moment for moment in (job.expires_at, expires) if moment]
    return Work(
        job=job,
        document=cast("Mapping[str, Any]", contents.document),
        owner=owner,
        enqueued_at=enqueued_at,
        not_before=max(starts, default=None),
        expires_at=min(ends, default=None),
    )


def _date_time(text: str | None) -> str | None:
    """Take what a producer's header says only if it is what results promise there."""
    try:
        _MOMENT.validate_python(text)
    except ValidationError:
        return None
    return text


def _moment(text: str | None) -> datetime | None:
    """Read Celery's own `eta` and `expires`; what cannot be read asks for nothing."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
