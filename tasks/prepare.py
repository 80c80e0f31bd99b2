"""What a request needs beside its permit: tokens, and the engagement that a job may ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasks.account import Account
from tasks.liveperson.answer import Answer, CallFailed, Kind
from tasks.liveperson.engagement import EngagementFailure, Visit
from tasks.liveperson.tokens import Tokens
from tasks.messages.receive import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a request needs beside its permit: the tokens, and the body to send."""

    tokens: Tokens
    conversation: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request that is `ready`, or else the `refusal` that kept it from being so.

    `visit` is the Monitoring API's visitor and session, for the next attempt to come back as;
    empty for a job that asks for no engagement.
    """

    ready: Ready | None = None
    refusal: Answer | None = None
    visit: str


def prepare(work: Work, account: Account, *, visit: str) -> Prepared:
    """Get what a request needs; `visit` is what an earlier attempt was known by.

    Raises StoreError.
    """
    job, client = work.job, account.client
    conversation = job.conversation
    try:
        tokens = client.tokens(job.consumer_id)
        if job.engagement is not None:
            engaged = client.engage(job, read_visit(visit))
            conversation, visit = engaged.merged_into(conversation), write_visit(engaged.visit)
    except EngagementFailure as failure:
        answer = failure.answer
        if answer.kind is Kind.NOT_SENT:
            answer = replace(answer, kind=Kind.NOT_ENGAGED)
        return Prepared(refusal=answer, visit=write_visit(failure.visit))
    except CallFailed as failure:
        return Prepared(refusal=failure.answer, visit=visit)
    return Prepared(ready=Ready(tokens=tokens, conversation=conversation), visit=visit)


def read_visit(written: str) -> Visit | None:
    """Read a visit as the ledger keeps it; None where none was kept."""
    return Visit(*json.loads(written)) if written else None


def write_visit(visit: Visit) -> str:
    """Write a visit as the ledger keeps it."""
    return json.dumps([visit.visitor_id, visit.session_id])
