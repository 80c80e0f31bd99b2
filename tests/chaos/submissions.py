"""The jobs of a run, made from its seed, each with the ways in which it may end."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from tests.chaos.plan import Mix

ACCOUNT: Final = "12345678"
# What may befall any job whose attempts fail, and says so in its dead letter.
HONEST: Final = frozenset({"retries_exhausted", "in_doubt"})
OPENED: Final = HONEST | {"created"}
LATER_SECONDS: Final = (3.0, 10.0)
EXPIRING_SECONDS: Final = (1.0, 15.0)
SKILL: Final = "3000001"

Style = Literal["bare", "celery", "protocol 1", "list", "octets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One message to be put on the jobs queue.

    `document` is the job, None where the bytes hold none; `outcomes` are the statuses and error
    codes it may end with. `style` is how it is written; "list" pushes bytes as they are, those of
    `wire` where there are any, "octets" publishes with the properties that `wire` holds.
    """

    body: bytes
    outcomes: frozenset[str]
    document: dict[str, Any] | None = None
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    headers: dict[str, Any] | None = None
    style: Style = "bare"
    wire: bytes = field(default=b"", repr=False)
    not_before: datetime | None = None
    expires_at: datetime | None = None

    @property
    def job_id(self) -> str:
        """The job's id; empty where there is none."""
        found = (self.document or {}).get("jobId")
        return found if isinstance(found, str) else ""

    @property
    def account_id(self) -> str:
        """The job's account, which it may leave out where there is one alone."""
        found = (self.document or {}).get("accountId")
        return found if isinstance(found, str) else ACCOUNT


def account_ids(accounts: int) -> list[str]:
    """Return the ids of so many accounts; the first one is ACCOUNT."""
    return [str(int(ACCOUNT) + number) for number in range(accounts)]


def submissions(
    jobs: int, mix: Mix, rng: random.Random, *, now: datetime, accounts: int = 1
) -> list[Submission]:
    """Make the messages of so many jobs, in random order; some jobs have two."""
    made: list[Submission] = []
    for number in range(jobs):
        job = _plain(number)
        if accounts > 1:
            job["accountId"] = account_ids(accounts)[number % accounts]
        made += _job(job, number, mix, rng, now=now)
    rng.shuffle(made)
    return made


def _job(
    job: dict[str, Any], number: int, mix: Mix, rng: random.Random, *, now: datetime
) -> Iterator[Submission]:
    drawn = rng.random()
    for kind, share in (
        (_shared, mix.shared),
        (_duplicate, mix.duplicate),
        (_conflict, mix.conflict),
        (_later, mix.later),
        (_expired, mix.expired),
        (_expiring, mix.expiring),
        (_invalid, mix.invalid),
    ):
        drawn -= share
        if drawn < 0:
            yield from kind(job, number, rng, now)
            return
    yield _submission(job, OPENED, _style(rng))


def _plain(number: int) -> dict[str, Any]:
    return {
        "jobId": f"job-{number}",
        "consumerId": f"consumer-{number}",
        "profile": {"firstName": "Ada", "lastName": f"Number {number}"},
        "conversation": {"skillId": SKILL},
        # Comes back with the conversation, so that the audit knows whose it is.
        "clientProperties": {"type": ".ClientProperties", "appId": f"job-{number}"},
        "metadata": {"number": number},
    }


def _submission(
    job: dict[str, Any],
    outcomes: frozenset[str],
    style: Style = "bare",
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
) -> Submission:
    return Submission(
        body=json.dumps(job).encode(),
        outcomes=outcomes,
        document=job,
        style=style,
        not_before=not_before,
        expires_at=expires_at,
    )


def _style(rng: random.Random) -> Style:
    return rng.choices(("bare", "celery", "protocol 1"), (8, 1, 1))[0]


def _shared(
    job: dict[str, Any], number: int, rng: random.Random, now: datetime
) -> Iterator[Submission]:
    """Give a consumer three jobs at a time: one opens, the others find it open."""
    del number, now
    consumer = rng.randrange(10**9)
    for part in range(3):
        reuse = rng.random() < 0.5
        twin = {
            **job,
            "jobId": f"{job['jobId']}-{part}",
            "consumerId": f"shared-{consumer}",
            "onOpenConversation": "reuse" if reuse else "fail",
            "clientProperties": {
                **job["clientProperties"],
                "appId": f"{job['jobId']}-{part}",
            },
        }
        yield _submission(twin, OPENED | {"reused" if reuse else "already_open"}, _style(rng))


def _duplicate(
    job: dict[str, Any], number: int, rng: random.Random, now: datetime
) -> Iterator[Submission]:
    del number, now
    for _ in range(rng.randint(2, 3)):
        yield _submission(job, OPENED, _style(rng))


def _conflict(
    job: dict[str, Any], number: int, rng: random.Random, now: datetime
) -> Iterator[Submission]:
    del rng, now
    outcomes = OPENED | {"conflict"}
    yield _submission(job, outcomes)
    yield _submission({**job, "metadata": {"number": number, "again": True}}, outcomes)


def _later(
    job: dict[str, Any], number: int, rng: random.Random, now: datetime
) -> Iterator[Submission]:
    del number
    moment = now + timedelta(seconds=rng.uniform(*LATER_SECONDS))
    later = {**job, "notBefore": moment.isoformat().replace("+00:00", "Z")}
    yield _submission(later, OPENED, not_before=moment)


def _expired(
    job: dict[str, Any], number: int, rng: random.Random, now: datetime
) -> Iterator[Submission]:
    del number, rng
    moment = (now - timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    yield _submission({**job, "expiresAt": moment}, frozenset({"expired"}))


def _expiring(
    job: dict[str, Any], number: int, rng: random.Random, now: datetime
) -> Iterator[Submission]:
    """Let a job expire in the midst of the run: it is opened before, or never."""
    del number
    moment = now + timedelta(seconds=rng.uniform(*EXPIRING_SECONDS))
    soon = {**job, "expiresAt": moment.isoformat().replace("+00:00", "Z")}
    yield _submission(soon, OPENED | {"expired"}, expires_at=moment)


def _invalid(
    job: dict[str, Any], number: int, rng: random.Random, now: datetime
) -> Iterator[Submission]:
    del number, now
    wrong = rng.choice(
        (
            {**job, "conversation": {"skilId": SKILL}},
            {**job, "consumerId": ""},
            {**job, "accountId": "nobody"},
            {**job, "priority": 10},
        )
    )
    yield _submission(wrong, frozenset({"invalid_job", "unknown_account"}))


def utc_now() -> datetime:
    """Return the time, to the millisecond as messages hold it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
