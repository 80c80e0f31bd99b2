"""The demo's jobs, the same in every run, with their expected outcomes."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, cycle
from random import Random
from typing import Any, Final

from config.names import JOBS_EXCHANGE_NAME, JOBS_QUEUE, TASK_NAME
from console.jobfiles.submission import job_message
from tasks.messages.outgoing import Outgoing, rfc3339

Document = dict[str, Any]

ACCOUNTS: Final = ("10000001", "10000002")
DEFAULT_MESSAGES: Final = 1000
# Faults of single requests, after each of which the conversation is opened or found.
CURABLE_FAULTS: Final = {
    "reset": 5,
    "server_error": 10,
    "lost_answer": 6,
    "server_error_after": 5,
    "truncated_json": 3,
    "cut_off": 3,
    "not_json": 2,
    "withheld_answer": 2,
    "consumer_token_refused": 3,
}
# One plain job in this many asks for an engagement, and two are written by Celery.
ENGAGED_EVERY: Final = 20
CELERY_EVERY: Final = 25
SEED: Final = 1
CONSUMERS: Final = uuid.UUID("0f7f3a52-9a0e-4d6f-8a77-55f6a1f0a1c3")
# More often than any retry schedule of the demo asks.
ALWAYS: Final = 50


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault for the simulator's next requests of a consumer."""

    consumer_id: str
    name: str
    times: int


@dataclass(slots=True)
class Sample:
    """Messages to enqueue, faults of their requests, and the expected outcomes.

    `expected` counts outcomes by kind: `created`, `reused`, `failed:<code>`. A job that is
    submitted twice has one outcome.
    """

    messages: list[Outgoing] = field(default_factory=list)
    faults: list[PlannedFault] = field(default_factory=list)
    cancelled: list[tuple[str, str]] = field(default_factory=list)
    expected: Counter[str] = field(default_factory=Counter)


def make_sample(size: int, *, now: datetime) -> Sample:
    """Return `size` messages, but at least all special ones."""
    maker = _Maker(now)
    maker.add_faulty()
    maker.add_failing()
    maker.add_repeated()
    maker.add_unreadable()
    maker.add_late()
    while len(maker.sample.messages) < size:
        maker.add_plain()
    # Spreads the special messages over the whole run, in the same order each time.
    Random(SEED).shuffle(maker.sample.messages)  # noqa: S311 - an order, not a secret
    return maker.sample


class _Maker:
    """Makes messages, and counts the expected outcomes."""

    def __init__(self, now: datetime) -> None:
        self.sample = Sample()
        self._now = now
        self._numbers = count(1)
        self._bodies = plain_bodies()

    def add_plain(self) -> None:
        """Add a job that just works; some are Celery messages of protocol 2, some of protocol 1."""
        job = self._job(next(self._bodies))
        number = len(self.sample.messages)
        if number % ENGAGED_EVERY == 0:
            job |= engagement(job["consumerId"])
            job.pop("conversation", None)
        write = {1: _celery, 2: _celery_protocol_1}.get(number % CELERY_EVERY, _bare)
        self._put(job, "created", write=write)

    def add_faulty(self) -> None:
        """Add jobs whose requests fail: once, so that they end well, or again and again."""
        for name, jobs in CURABLE_FAULTS.items():
            for _ in range(jobs):
                self._put(self._faulty(name, times=1), "created")
        for _ in range(3):
            self._put(self._faulty("server_error", times=ALWAYS), "failed:retries_exhausted")

    def add_failing(self) -> None:
        """Add jobs that cannot be done."""
        past = rfc3339(self._now - timedelta(hours=1))
        for _ in range(5):
            self._put(self._faulty("bad_request_as_200", times=1), "failed:rejected")
            self._put(self._job({"expiresAt": past}), "failed:expired")
            self._put(self._job({"profil": {"firstName": "typo"}}), "failed:invalid_job")
            self._put(self._job({"conversation": {"skilId": "7"}}), "failed:invalid_job")
            self._put(self._job({"accountId": "404"}), "failed:unknown_account")
            cancelled = self._job({})
            self.sample.cancelled.append((cancelled["accountId"], cancelled["jobId"]))
            self._put(cancelled, "failed:cancelled")

    def add_repeated(self) -> None:
        """Add jobs that come twice, and consumers that have an open conversation already."""
        for _ in range(20):
            job = self._job(next(self._bodies))
            self._put(job, "created")
            self._put(job)
        for _ in range(5):
            job = self._job({})
            self._put(job, "created")
            self._put({**job, "metadata": {"other": "content"}}, "failed:conflict")
        for _ in range(10):
            job = self._job({})
            self._put(job, "created")
            self._put(self._job({}) | _same_consumer(job), "failed:already_open")
            job = self._job({"onOpenConversation": "reuse"})
            self._put(job, "created")
            self._put(self._job({"onOpenConversation": "reuse"}) | _same_consumer(job), "reused")

    def add_unreadable(self) -> None:
        """Add messages that are not jobs."""
        for number in range(5):
            message = f"order {number};12345678".encode()
            self.sample.messages.append(_message(message, message_id=f"unreadable-{number}"))
            self.sample.expected["failed:malformed_message"] += 1

    def add_late(self) -> None:
        """Add jobs with a `notBefore`."""
        for seconds in range(1, 6):
            later = rfc3339(self._now + timedelta(seconds=seconds))
            self._put(self._job({"notBefore": later}), "created")

    def _faulty(self, name: str, *, times: int) -> Document:
        job = self._job({})
        self.sample.faults.append(PlannedFault(job["consumerId"], name, times))
        return job

    def _job(self, body: Document) -> Document:
        number = next(self._numbers)
        return {
            "jobId": f"demo-{number:05}",
            "accountId": ACCOUNTS[number % len(ACCOUNTS)],
            "consumerId": str(uuid.uuid5(CONSUMERS, str(number))),
            **body,
        }

    def _put(
        self, job: Document, *outcomes: str, write: Callable[[Document], Outgoing] | None = None
    ) -> None:
        self.sample.messages.append((write or _bare)(job))
        self.sample.expected.update(outcomes)


def _same_consumer(job: Document) -> Document:
    return {name: job[name] for name in ("accountId", "consumerId")}


def _bare(job: Document) -> Outgoing:
    priority = job.get("priority", 0)
    return job_message(job, queue=JOBS_QUEUE, message_id=job["jobId"], priority=priority)


def _celery(job: Document) -> Outgoing:
    """Return a job as Celery's send_task writes it."""
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([[job], {}, embed]).encode()
    headers = {"lang": "py", "task": TASK_NAME, "id": job["jobId"], "argsrepr": "-"}
    return _message(body, message_id=job["jobId"], headers=headers)


def _celery_protocol_1(job: Document) -> Outgoing:
    body = json.dumps({"task": TASK_NAME, "id": job["jobId"], "args": [job]}).encode()
    return _message(body, message_id=job["jobId"])


def _message(body: bytes, *, message_id: str, headers: Document | None = None) -> Outgoing:
    return Outgoing(
        exchange=JOBS_EXCHANGE_NAME,
        routing_key=JOBS_QUEUE,
        body=body,
        message_id=message_id,
        headers=headers or {},
    )


CUSTOMER: Final[Document] = {
    "type": "ctmrinfo",
    "info": {
        "ctype": "vip",
        "cstatus": "active",
        "balance": -400.99,
        "currency": "USD",
        "customerId": "138766AC",
        "socialId": "11256324780",
        "imei": "3543546543545688",
        "userName": "user000",
        "companySize": 500,
        "companyBranch": "north",
        "accountName": "bank corp",
        "role": "broker",
        "lastPaymentDate": {"day": 15, "month": 10, "year": 2025},
        "registrationDate": {"day": 23, "month": 5, "year": 2020},
        "loginStatus": 1,
    },
}
PERSON: Final[Document] = {
    "type": "personal",
    "personal": {
        "firstname": "Zoë",
        "lastname": "Müller",
        "age": {"age": 34, "year": 1991, "month": 4, "day": 15},
        "contacts": [
            {"email": "zoe@example.com", "phone": "+1 202 555 0143", "phoneType": "MOBILE"},
            {"phone": "+1 202 555 0100", "phoneType": "HOME", "address": {"country": "US"}},
        ],
        "gender": "FEMALE",
        "company": "Example",
        "language": "en-US",
    },
    "auth": {"amr": ["pwd", "otp"], "iss": "https://id.example.com"},
}
CAMPAIGN: Final[Document] = {"campaignId": "99999", "engagementId": "888888"}
SHARK: Final[Document] = {
    "type": "SharkContext",
    "visitorId": "A3ZTY3Zjk1MDExZTczYTU4",
    "sessionId": "ys2wSqaSRSOJGki7VhEDKQ",
    "interactionContextId": "2",
    "lang": "en-US",
}
CLIENT: Final[Document] = {
    "type": ".ClientProperties",
    "appId": "shop",
    "ipAddress": "192.0.2.10",
    "deviceFamily": "DESKTOP",
    "os": "LINUX",
    "timeZone": "Europe/Zürich",
    "features": ["AUTO_MESSAGES", "RICH_CONTENT"],
}

KINDS: Final[tuple[Document, ...]] = (
    {},
    {"profile": {"firstName": "John", "lastName": "Doe", "description": "from the shop"}},
    {"profile": {"authenticatedData": {"lp_sdes": [CUSTOMER]}}},
    {"profile": {"authenticatedData": {"lp_sdes": [PERSON]}}},
    {"profile": {"authenticatedData": {"lp_sdes": [CUSTOMER, PERSON]}, "role": "consumer"}},
    {"profile": {"privateData": {"mobileNum": "+12025550143", "mail": "zoe@example.com"}}},
    {"conversation": {"skillId": "1251428632"}},
    # A number where LivePerson's documentation has a string.
    {"conversation": {"skillId": 1251428632, "ttrDefName": "URGENT"}},
    {"conversation": {"skillId": "-1", "ttrDefName": None}},
    {"conversation": {"campaignInfo": CAMPAIGN, "conversationContext": SHARK}},
    {"conversation": {"conversationContext": {"type": "SMSContext", "lang": "en-US"}}},
    {"conversation": {"conversationContext": {"type": "CustomContext", "anything": [1, 2]}}},
    {"clientProperties": CLIENT},
    {"metadata": {"orderId": 4711, "tags": ["a", "b"], "note": "back untouched: ✓"}},
    {"onOpenConversation": "reuse", "priority": 9},
)


def plain_bodies() -> Iterator[Document]:
    """Yield bodies of all kinds in turn, for ever."""
    return cycle(KINDS)


def engagement(consumer_id: str) -> Document:
    """Return a job's `engagement`, for campaign and context from the Monitoring API."""
    return {
        "engagement": {
            "identities": [{"iss": "https://id.example.com", "acr": "loa1", "sub": consumer_id}],
            "entryPoints": ["https://shop.example.com/offer", "lang://English"],
            "engagementAttributes": [PERSON],
        }
    }
