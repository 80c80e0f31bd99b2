"""One try at a job, row by row of the failure tables in docs/architecture.md.

A row says what the ledger finds, what LivePerson says, and what follows: the step, the calls made
to LivePerson, and the attempts that the ledger keeps or the dead letter shows.

Rows of those tables that need processes, sockets or a broker are not here but in tests/acceptance,
tests/contract and tests/chaos: a broker that restarts, hangs, has an alarm or refuses a message;
what store or broker refuse, beyond a store that is away; a store whose clock is set; a worker that
stalls; messages with odd properties, too large ones, and those delivered 100 times. What the
limiter makes of many answers (tests/contract/test_limit.py) and how the client itself repeats a
token call (tests/unit/liveperson) is not one try's either. What a whole delivery comes to is in
tests/unit/test_create_conversation.py.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from console.admin.records import cancel, reopen
from tasks.liveperson.answer import Answer, Kind
from tasks.liveperson.http import FateUnknown, NotSent
from tasks.messages.intake import Work
from tasks.steps import Drop, Later, Publish, Record, Soon, Step
from tasks.stopping import Stopping
from tasks.store.ledger import Ceiling
from tests.job_world import ALIVE, LOST, RECORDED, World, job_world
from tests.jobs import ACCOUNT, job_document, make_job
from tests.scripted_liveperson import (
    CONVERSATION,
    PROFILE,
    Meanwhile,
    Reply,
    Said,
    Shown,
    created,
    documented,
    domain_api_says,
    engagement_says,
    error_object,
    fate_unknown,
    idp_says,
    look_up_says,
    not_sent,
    page,
    refused_item,
    sentinel_says,
)
from tests.unit.liveperson.scripted import response

Found = Callable[[World, Work], object]


# What follows


@dataclass(frozen=True, slots=True)
class Records:
    """The job has its outcome; `by` says who knew the conversation's id."""

    count: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Publishes:
    """The outcome needs no record."""

    count: str


@dataclass(frozen=True, slots=True)
class ComesBack:
    """From the broker, in so many seconds."""

    why: str
    least: float
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class TriesAgain:
    """In the same thread, in so many seconds."""

    least: float
    most: float = 0.0


Follows = Records | Publishes | ComesBack | TriesAgain


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row; `careful` stands for OVERTURE_UNKNOWN_OUTCOME=in_doubt."""

    name: str
    follows: Follows
    finds: Sequence[Found] = ()
    says: Sequence[Said | Found] = ()
    calls: Sequence[str] = ("tokens", "create")
    attempts: Sequence[str] = ()
    job: dict[str, Any] = field(default_factory=dict)
    is_expired: bool = False
    careful: bool = False


# What the ledger finds


def tried(*kinds: str) -> Found:
    """Let the job wait for its next attempt, after some that settled nothing."""

    def found(world: World, work: Work) -> None:
        world.begin(work.job, f"{ALIVE}/1")
        world.end(work.job, f"{ALIVE}/1", *kinds)

    return found


def claimed(world: World, work: Work) -> None:
    """Lose a worker that has claimed the job."""
    world.begin(work.job, f"{LOST}/1", purpose="claim")


def sending(world: World, work: Work) -> None:
    """Lose a worker while it is sending."""
    world.begin(work.job, f"{LOST}/1")


def claimed_again(world: World, work: Work) -> None:
    """Lose one more with the job, before it sends anything."""
    world.begin(work.job, f"{LOST}/2", purpose="claim", dead_owner=f"{LOST}/1")


def sending_again(world: World, work: Work) -> None:
    """Lose one more while it is sending."""
    world.begin(work.job, f"{LOST}/2", dead_owner=f"{LOST}/1")


def in_hand(world: World, work: Work) -> None:
    """Have another delivery in hand, at a worker that lives."""
    world.begin(work.job, f"{ALIVE}/1")


def abandoned(world: World, work: Work) -> None:
    """Have a bug end an attempt of a worker that lives."""
    in_hand(world, work)
    world.ledger.abandon(work.job, f"{ALIVE}/1")
    world.ledger.close(seconds=5)


def done(world: World, work: Work) -> None:
    """Record the outcome."""
    in_hand(world, work)
    world.finish(work.job, f"{ALIVE}/1")


def published(world: World, work: Work) -> None:
    """Record the outcome, and that the broker has it."""
    done(world, work)
    world.ledger.mark_published(ACCOUNT, work.job.job_id)
    world.ledger.close(seconds=5)


def other_content(world: World, work: Work) -> None:
    """Begin a job of the same id that asks for something else."""
    world.begin(make_job(1, consumerId="somebody-else"), f"{ALIVE}/1")
    del work


def cancelled(world: World, work: Work) -> None:
    """Cancel the job, as an operator does."""
    cancel(world.store, ACCOUNT, work.job.job_id)


def replayed(*kinds: str) -> Found:
    """Replay the job's dead letter, as an operator does."""

    def found(world: World, work: Work) -> None:
        attempts = [{"at": "", "httpStatus": None, "outcome": kind} for kind in kinds]
        letter = {"error": {"code": "retries_exhausted", "attempts": attempts}}
        assert reopen(world.store, ACCOUNT, work.job.job_id, letter=letter, seconds=60)

    return found


def _neighbour(world: World, work: Work, count: str, created_id: str = "") -> None:
    other = make_job(2, consumerId=work.job.consumer_id)
    world.begin(other, f"{ALIVE}/2")
    world.finish(other, f"{ALIVE}/2", count=count, created_id=created_id)


def opened_for_another(world: World, work: Work) -> None:
    """Have conversation-2 opened for another job of the consumer, as the ledger knows."""
    _neighbour(world, work, "created", "conversation-2")


def another_in_doubt(world: World, work: Work) -> None:
    """Have another job of the consumer end, and nobody know whether it opened a conversation."""
    _neighbour(world, work, "failed:in_doubt")


def consumer_busy(world: World, work: Work) -> None:
    """Have another job of the consumer in hand."""
    world.begin(make_job(2, consumerId=work.job.consumer_id), f"{ALIVE}/2")


def held(world: World, work: Work) -> None:
    """Have the account's credentials refused."""
    world.call(9, "credentials", "sentinel: HTTP 401")
    del work


def barred(world: World, work: Work) -> None:
    """Have whoever asks refused, until the circuit opens."""
    for number in range(10, 20):
        world.call(number, "barred", "asyncMessagingEnt: HTTP 403")
        world.clock.advance(0.2)
    del work


def five_seconds_later(world: World, work: Work) -> None:
    """Let the time come when one job may try for all."""
    world.clock.advance(5.1)
    del work


def others_are_accepted(world: World, work: Work) -> None:
    """Have a job of another consumer's accepted since."""
    world.clock.advance(1)
    world.call(9, "ok")
    del work


def refused(kind: str, *more: str) -> Found:
    """Have attempts refused as all of the account's may be; but others were just accepted."""

    def found(world: World, work: Work) -> None:
        world.call(8, "ok")
        world.begin(work.job, f"{ALIVE}/1")
        feedback: Any = "barred" if kind.startswith("not_served") else "credentials"
        world.end(work.job, f"{ALIVE}/1", kind, *more, feedback=feedback)

    return found


def refused_by_sentinel(world: World, work: Work) -> None:
    """Have this job's own token refused before."""
    world.live.script.append(SENTINEL_REFUSES)
    world.try_once(world.work(work.job))
    world.live.calls.clear()


def emptied(world: World, work: Work) -> None:
    """Empty the store, but for its clock."""
    world.store.flushall()
    world.clock.advance(0)
    del work


def taken_over(world: World, work: Work) -> None:
    """Have another worker take this one for dead, and take its job."""
    world.begin(work.job, f"{ALIVE}/7", dead_owner=work.owner)


def taken_over_and_done(world: World, work: Work) -> None:
    """Have it bring the job to its end, too."""
    taken_over(world, work)
    world.finish(work.job, f"{ALIVE}/7")


def drains(world: World, work: Work) -> None:
    """Begin to drain, as after SIGTERM."""
    world.shutdown.draining.set()
    del work


# What LivePerson says

ALREADY_OPEN = documented("resp_04_400_already_open", status=400)
APP_REFUSED = documented("resp_06_401_appjwt_invalid", status=401)
CONSUMER_REFUSED = documented("resp_07_401_consumerjws_invalid", status=401)
CLAIM_MISSING = error_object(400, 40001)
FOREIGN_ITEMS = Reply(400, [{"code": "BAD_REQUEST", "reqId": "of-another", "body": {"msg": "no"}}])
NONE_SHOWN = Shown(None)
OURS_SHOWN = Shown("conversation-1")
OTHERS_SHOWN = Shown("conversation-2")
LOOK_UP_AWAY = look_up_says(response(500, {"message": "down", "internalCode": 1}))
LOOK_UP_REFUSED = look_up_says(response(401, {"message": "no"}))
MOVED = Answer(kind=Kind.NOT_SENT, http_status=404, message="HTTP 404: the service has moved")
REFUSED = {"title": "no", "details": "no"}
SENTINEL_REFUSES = sentinel_says(response(401))
REUSE = {"onOpenConversation": "reuse"}
ENGAGED: dict[str, Any] = {"engagement": {}}

RETRY = ComesBack("retry", 5)
HELD = ComesBack("credentials", 5, 6)
CIRCUIT = ComesBack("circuit", 5, 6)
BY_MONITORING = Records("created", "monitoring")
RENEWED: Sequence[Follows] = (TriesAgain(0.5), TriesAgain(1), ComesBack("retry", 2))
LOOKED = ("tokens", "create", "look up")
NOT_SENT_LOOKED = ("tokens", "look up")

KILLED: list[Row] = [
    Row(name="killed before the claim: it begins", says=[created()], follows=Records("created")),
    Row(
        name="killed after the claim: it is taken over, and begins",
        finds=[claimed],
        says=[created()],
        follows=Records("created"),
    ),
    Row(
        name="killed while sending, and a conversation is open: it is ours",
        finds=[sending],
        says=[ALREADY_OPEN, OURS_SHOWN],
        calls=LOOKED,
        follows=BY_MONITORING,
    ),
    Row(
        name="killed while sending, and none is open: the repeat opens one",
        finds=[sending],
        says=[created()],
        follows=Records("created"),
    ),
    Row(
        name="killed while sending, in_doubt: it is looked up and not repeated",
        finds=[sending],
        says=[OURS_SHOWN],
        calls=NOT_SENT_LOOKED,
        follows=BY_MONITORING,
        careful=True,
    ),
    Row(
        name="killed while sending, in_doubt, and none is open: a dead letter",
        finds=[sending],
        says=[NONE_SHOWN],
        calls=NOT_SENT_LOOKED,
        follows=Records("failed:in_doubt"),
        attempts=["unknown"],
        careful=True,
    ),
    Row(
        name="killed after the outcome was recorded: the recorded bytes",
        finds=[done],
        calls=["tokens"],
        follows=Publishes("replayed"),
    ),
    Row(
        name="killed after it was published: the same bytes a second time",
        finds=[published],
        calls=["tokens"],
        follows=Publishes("replayed"),
    ),
    Row(
        name="too many workers were lost with it before they sent",
        finds=[claimed, claimed_again],
        calls=["tokens"],
        follows=Records("failed:internal_error"),
    ),
    Row(
        name="too many workers were lost while sending, and a conversation is open",
        finds=[sending, sending_again],
        says=[OURS_SHOWN],
        calls=NOT_SENT_LOOKED,
        follows=BY_MONITORING,
    ),
    Row(
        name="too many workers were lost while sending, and none is open",
        finds=[sending, sending_again],
        says=[NONE_SHOWN],
        calls=NOT_SENT_LOOKED,
        follows=Records("failed:internal_error"),
        attempts=["unknown", "unknown"],
    ),
]

PROCESS: list[Row] = [
    Row(
        name="the same job is in hand elsewhere: it comes back after 3 s",
        finds=[in_hand],
        calls=["tokens"],
        follows=ComesBack("held", 3),
    ),
    Row(
        name="a bug ended its last attempt: what that sent has an unknown fate",
        finds=[abandoned],
        says=[ALREADY_OPEN, OURS_SHOWN],
        calls=LOOKED,
        follows=BY_MONITORING,
    ),
    Row(
        name="its id was used before with other content",
        finds=[other_content],
        calls=["tokens"],
        follows=Publishes("failed:conflict"),
    ),
    Row(
        name="the store loses its memory during the request: the id counts",
        says=[emptied, created()],
        follows=Records("created"),
    ),
    Row(
        name="the store loses its memory during the request: earlier attempts are kept",
        finds=[tried("not_sent")],
        says=[emptied, fate_unknown("no complete answer within 30 s")],
        follows=ComesBack("retry", 10),
        attempts=["not_sent", "unknown"],
    ),
    Row(
        name="its record is lost and its message comes again: a new job",
        finds=[done, emptied],
        says=[ALREADY_OPEN],
        follows=Records("failed:already_open"),
        attempts=["already_open"],
    ),
    Row(
        name="it was taken over during its request: what failed does not count",
        says=[taken_over, page(403)],
        follows=ComesBack("taken over", 3),
        attempts=["unknown"],
    ),
    Row(
        name="it was taken over and ended during its request: that outcome stands",
        says=[taken_over_and_done, page(403)],
        follows=Publishes("replayed"),
    ),
    Row(
        name="SIGTERM during the request: its answer is recorded",
        says=[drains, created()],
        follows=Records("created"),
    ),
    Row(
        name="SIGTERM during the request: a failure waits for its next attempt",
        says=[drains, fate_unknown("no complete answer within 30 s")],
        follows=RETRY,
        attempts=["unknown"],
    ),
    Row(
        name="cancelled before it was sent",
        finds=[cancelled],
        calls=["tokens"],
        follows=Records("failed:cancelled"),
    ),
    Row(
        name="cancelled after an attempt of unknown fate that opened a conversation",
        finds=[tried("unknown"), cancelled],
        says=[OURS_SHOWN],
        calls=NOT_SENT_LOOKED,
        follows=BY_MONITORING,
    ),
    Row(
        name="cancelled after an attempt of unknown fate that opened none",
        finds=[tried("unknown"), cancelled],
        says=[NONE_SHOWN],
        calls=NOT_SENT_LOOKED,
        follows=Records("failed:cancelled"),
        attempts=["unknown"],
    ),
    Row(
        name="expired before it was sent: nothing is asked for",
        is_expired=True,
        calls=[],
        follows=Records("failed:expired"),
    ),
    Row(
        name="expired after an attempt of unknown fate that opened a conversation",
        finds=[tried("unknown")],
        is_expired=True,
        says=[OURS_SHOWN],
        calls=["look up"],
        follows=BY_MONITORING,
    ),
    Row(
        name="expired after an attempt of unknown fate that opened none",
        finds=[tried("unknown")],
        is_expired=True,
        says=[NONE_SHOWN],
        calls=["look up"],
        follows=Records("failed:expired"),
        attempts=["unknown"],
    ),
    Row(
        name="expired, and what was seen open is shown no more: it is looked for again",
        finds=[tried("unknown", "already_open", "unresolved")],
        is_expired=True,
        says=[NONE_SHOWN],
        calls=["look up"],
        follows=ComesBack("retry", 10),
        attempts=["unknown", "already_open", "unresolved", "unresolved"],
    ),
    Row(
        name="another job of the consumer is being sent",
        finds=[consumer_busy],
        calls=["tokens"],
        follows=ComesBack("consumer", 2),
    ),
    Row(
        name="replayed by an operator: its attempts count anew",
        finds=[replayed("not_sent", "not_sent", "not_sent", "not_sent")],
        says=[not_sent("no route to host")],
        follows=RETRY,
        attempts=["not_sent"] * 4 + ["replayed", "not_sent"],
    ),
    Row(
        name="replayed by an operator: what was unknown stays so",
        finds=[replayed("unknown")],
        says=[ALREADY_OPEN, OURS_SHOWN],
        calls=LOOKED,
        follows=BY_MONITORING,
    ),
]

ANSWERED: list[Row] = [
    Row(
        name="200 with our item and an id",
        says=[created("conversation-7")],
        follows=Records("created"),
    ),
    Row(
        name="200 with an id, though the profile was refused",
        says=[
            Reply(
                200,
                [
                    {"code": "BAD_REQUEST", "reqId": PROFILE, "body": {"msg": "bad profile"}},
                    {"code": "OK", "reqId": CONVERSATION, "body": {"conversationId": "c-7"}},
                ],
            )
        ],
        follows=Records("created"),
    ),
    Row(
        name="already open, and no attempt unknown",
        says=[ALREADY_OPEN],
        follows=Records("failed:already_open"),
        attempts=["already_open"],
    ),
    Row(
        name="already open, reuse, and Monitoring shows it",
        job=REUSE,
        says=[ALREADY_OPEN, OTHERS_SHOWN],
        calls=LOOKED,
        follows=Records("reused", "monitoring"),
    ),
    Row(
        name="already open, reuse, and it is closed by then: a repeat can open one",
        job=REUSE,
        says=[ALREADY_OPEN, NONE_SHOWN],
        calls=LOOKED,
        follows=RETRY,
        attempts=["already_open"],
    ),
    Row(
        name="already open, reuse, and Monitoring is away",
        job=REUSE,
        says=[ALREADY_OPEN, LOOK_UP_AWAY],
        calls=LOOKED,
        follows=RETRY,
        attempts=["already_open"],
    ),
    Row(
        name="already open, reuse, and no retry is left",
        job=REUSE,
        finds=[tried(*["already_open"] * 4)],
        says=[ALREADY_OPEN, LOOK_UP_AWAY],
        calls=LOOKED,
        follows=Records("failed:already_open"),
        attempts=["already_open"] * 5,
    ),
    Row(
        name="already open after an unknown attempt: ours",
        finds=[tried("unknown")],
        says=[ALREADY_OPEN, OURS_SHOWN],
        calls=LOOKED,
        follows=BY_MONITORING,
    ),
    Row(
        name="already open after an unknown attempt, but another job's",
        finds=[opened_for_another, tried("unknown")],
        says=[ALREADY_OPEN, OTHERS_SHOWN],
        calls=LOOKED,
        follows=Records("failed:already_open"),
        attempts=["unknown", "already_open"],
    ),
    Row(
        name="already open after an unknown attempt, another job's, and reuse",
        job=REUSE,
        finds=[opened_for_another, tried("unknown")],
        says=[ALREADY_OPEN, OTHERS_SHOWN, OTHERS_SHOWN],
        calls=[*LOOKED, "look up"],
        follows=Records("reused", "monitoring"),
    ),
    Row(
        name="already open after an unknown attempt, and nobody can tell whose",
        finds=[another_in_doubt, tried("unknown")],
        says=[ALREADY_OPEN, OURS_SHOWN],
        calls=LOOKED,
        follows=Records("failed:in_doubt"),
        attempts=["unknown", "already_open"],
    ),
    *(
        Row(
            name=f"ours, and its id is not to be had: look {number + 1}, after which {pause:g} s",
            finds=[tried("unknown", "already_open", *["unresolved"] * number)]
            if number
            else [tried("unknown")],
            says=[ALREADY_OPEN, LOOK_UP_AWAY] if not number else [LOOK_UP_AWAY],
            calls=NOT_SENT_LOOKED if number else LOOKED,
            follows=ComesBack("retry", pause),
            attempts=["unknown", "already_open", *["unresolved"] * (number + 1)],
        )
        for number, pause in enumerate((3.0, 10.0, 30.0, 90.0))
    ),
    Row(
        name="ours, and its id is not to be had: the last look",
        finds=[tried("unknown", "already_open", *["unresolved"] * 4)],
        says=[LOOK_UP_AWAY],
        calls=NOT_SENT_LOOKED,
        follows=Records("failed:in_doubt"),
        attempts=["unknown", "already_open", *["unresolved"] * 4],
    ),
    Row(
        name="ours, and none is shown: it is looked for again, and not sent",
        finds=[tried("unknown")],
        says=[ALREADY_OPEN, NONE_SHOWN],
        calls=LOOKED,
        follows=ComesBack("retry", 3),
        attempts=["unknown", "already_open", "unresolved"],
    ),
    Row(
        name="ours, and it is shown at a later look",
        finds=[tried("unknown", "already_open", "unresolved")],
        says=[OURS_SHOWN],
        calls=NOT_SENT_LOOKED,
        follows=BY_MONITORING,
    ),
    Row(
        name="ours, and the look-up is refused: the account is held",
        finds=[tried("unknown")],
        says=[ALREADY_OPEN, LOOK_UP_REFUSED],
        calls=LOOKED,
        follows=HELD,
        attempts=["unknown", "already_open", "unresolved:probe"],
    ),
    *(
        Row(
            name=f"{status} with an error object, {when}",
            finds=[tried(*["not_served"] * number)] if number else (),
            says=[error_object(status)],
            follows=follows,
            attempts=["not_served"] * (number + 1),
        )
        for status, when, number, follows in (
            (403, "for the first time", 0, RETRY),
            (404, "for the first time", 0, RETRY),
            (405, "for the second time", 1, ComesBack("retry", 10)),
            (410, "for the third time", 2, Records("failed:rejected")),
            (451, "for the third time", 2, Records("failed:rejected")),
        )
    ),
    Row(
        name="403 with an error object a second time, and others are accepted",
        finds=[refused("not_served"), others_are_accepted],
        says=[error_object(403)],
        follows=Records("failed:rejected"),
        attempts=["not_served", "not_served"],
    ),
    Row(
        name="400 with an item of ours: refused at once",
        says=[refused_item("BAD_REQUEST", "skill is unknown")],
        follows=Records("failed:rejected"),
        attempts=["rejected"],
    ),
    Row(
        name="422 with an error object: refused at once",
        says=[error_object(422)],
        follows=Records("failed:rejected"),
        attempts=["rejected"],
    ),
    Row(
        name="refused after an unknown attempt, which opened a conversation",
        finds=[tried("unknown")],
        says=[refused_item("BAD_REQUEST", "skill is unknown"), OURS_SHOWN],
        calls=LOOKED,
        follows=BY_MONITORING,
    ),
    Row(
        name="refused after an unknown attempt, which opened none",
        finds=[tried("unknown")],
        says=[refused_item("BAD_REQUEST", "skill is unknown"), NONE_SHOWN],
        calls=LOOKED,
        follows=Records("failed:rejected"),
        attempts=["unknown", "rejected"],
    ),
    *(
        Row(name=f"certainly not sent: {what}", says=[said], follows=RETRY, attempts=["not_sent"])
        for what, said in (
            ("403 with a page of HTML", page(403)),
            ("400 with nothing", Reply(400)),
            ("409 with JSON of another shape", Reply(409, {"blocked": True})),
            ("a redirect", Reply(302, headers={"Location": "https://sign-in.example"})),
            ("421", error_object(421)),
            ("425", error_object(425)),
            ("no connection", not_sent("connection refused")),
            ("no TLS", not_sent("certificate verify failed")),
            ("404, and the service has moved", MOVED),
        )
    ),
    Row(
        name="certainly not sent, with a longer Retry-After",
        says=[Reply(421, headers={"Retry-After": "40"})],
        follows=ComesBack("retry", 40),
        attempts=["not_sent"],
    ),
    *(
        Row(
            name=f"the ConsumerJWS is stale, after {number} others",
            finds=[tried(*["unauthorized:consumer"] * number)] if number else (),
            says=[CONSUMER_REFUSED],
            calls=["tokens", "create", "renew consumer"],
            follows=follows,
            attempts=["unauthorized:consumer"] * (number + 1),
        )
        for number, follows in enumerate(RENEWED)
    ),
    Row(
        name="a fresh ConsumerJWS was refused three times",
        finds=[tried(*["unauthorized:consumer"] * 3)],
        says=[CONSUMER_REFUSED],
        follows=Records("failed:unauthorized"),
        attempts=["unauthorized"] * 4,
    ),
    Row(
        name="40104 beside a title that names the ConsumerJWS",
        says=[error_object(401, 40104, "Missing ConsumerJWS")],
        calls=["tokens", "create", "renew consumer"],
        follows=TriesAgain(0.5),
        attempts=["unauthorized:consumer"],
    ),
    *(
        Row(
            name=f"the AppJWT is stale, after {number} others",
            finds=[tried(*["unauthorized:app"] * number)] if number else (),
            says=[said],
            calls=["tokens", "create", "renew app"],
            follows=TriesAgain(pause),
            attempts=["unauthorized:app"] * (number + 1),
        )
        for number, pause, said in ((0, 0.5, APP_REFUSED), (1, 1, CLAIM_MISSING))
    ),
    Row(
        name="a fresh AppJWT was refused too: the account is held",
        finds=[tried("unauthorized:app", "unauthorized:app")],
        says=[APP_REFUSED],
        calls=["tokens", "create", "renew app"],
        follows=HELD,
        attempts=["unauthorized:app", "unauthorized:app", "credentials"],
    ),
    Row(
        name="a fresh AppJWT was refused, and others are accepted: a pause of the schedule",
        finds=[refused("unauthorized:app", "unauthorized:app"), others_are_accepted],
        says=[APP_REFUSED],
        calls=["tokens", "create", "renew app"],
        follows=RETRY,
        attempts=["unauthorized:app", "unauthorized:app", "unauthorized:alone"],
    ),
    Row(
        name="refused alone after three pauses of the schedule",
        finds=[
            refused("unauthorized:app", "unauthorized:app", *["unauthorized:alone"] * 3),
            others_are_accepted,
        ],
        says=[APP_REFUSED],
        follows=Records("failed:unauthorized"),
        attempts=["unauthorized"] * 6,
    ),
    Row(
        name="429: once more within two seconds, in the same thread",
        says=[error_object(429)],
        follows=TriesAgain(1, 2),
        attempts=["throttled"],
    ),
    Row(
        name="429 again and again: longer each time, and no retry is lost",
        finds=[tried("not_sent", *["throttled"] * 3)],
        says=[error_object(429)],
        follows=ComesBack("throttled", 8, 16),
        attempts=["not_sent", *["throttled"] * 4],
    ),
    Row(
        name="429 with Retry-After",
        says=[Reply(429, headers={"Retry-After": "30"})],
        follows=ComesBack("throttled", 30),
        attempts=["throttled"],
    ),
    *(
        Row(name=f"unknown: {what}", says=[said], follows=RETRY, attempts=["unknown"])
        for what, said in (
            ("500", page(500)),
            ("502 with an error object", error_object(502, 50201)),
            ("408", error_object(408)),
            ("499", page(499)),
            ("no complete answer in time", fate_unknown("no complete answer within 30 s")),
            ("the connection was lost", fate_unknown("the connection failed")),
            ("an unreadable 200", Reply(200, b"<html>")),
            ("400 with items that are not ours", FOREIGN_ITEMS),
        )
    ),
    Row(
        name="unknown once more: the next pause",
        finds=[tried("unknown")],
        says=[page(503)],
        follows=ComesBack("retry", 10),
        attempts=["unknown", "unknown"],
    ),
    Row(
        name="unknown, in_doubt: it is looked up at once",
        says=[page(503), OURS_SHOWN],
        calls=LOOKED,
        follows=BY_MONITORING,
        careful=True,
    ),
    # Nothing was sent
    *(
        Row(
            name=f"nothing was sent, and the account is held: {what}",
            says=[said],
            calls=["tokens"],
            follows=HELD,
            attempts=["credentials"],
        )
        for what, said in (
            ("400 from sentinel", sentinel_says(response(400, {"error": "invalid_client"}))),
            ("401 from sentinel", SENTINEL_REFUSES),
            ("403 from sentinel", sentinel_says(response(403, REFUSED))),
            ("451 from sentinel", sentinel_says(response(451))),
            ("401 from IDP, twice", idp_says(response(401))),
            ("400 from the Domain API", domain_api_says(response(400, REFUSED))),
        )
    ),
    Row(
        name="nothing was sent, and the account is held: 404 with 18 from Monitoring",
        job=ENGAGED,
        says=[engagement_says(response(404, {"message": "no app", "internalCode": 18}))],
        calls=["tokens", "engage"],
        follows=HELD,
        attempts=["credentials"],
    ),
    Row(
        name="nothing was sent: hours of a hold are one attempt",
        finds=[refused_by_sentinel, five_seconds_later],
        says=[SENTINEL_REFUSES],
        calls=["tokens"],
        follows=ComesBack("credentials", 10, 11),
        attempts=["credentials"],
    ),
    Row(
        name="nothing was sent: another 4xx of IDP's is a refusal",
        says=[idp_says(response(422, REFUSED))],
        calls=["tokens"],
        follows=Records("failed:rejected"),
        attempts=["rejected"],
    ),
    Row(
        name="nothing was sent: Monitoring offers no engagement",
        job=ENGAGED,
        says=[engagement_says(response(200, {"visitorId": "v", "sessionId": "s"}))],
        calls=["tokens", "engage"],
        follows=Records("failed:rejected"),
        attempts=["rejected"],
    ),
    *(
        Row(
            name=f"nothing was sent: 429 from {what}",
            job=job,
            says=[said],
            calls=calls,
            follows=ComesBack("throttled before sending", 5, 6),
            attempts=["throttled"],
        )
        for what, said, job, calls in (
            ("sentinel", sentinel_says(response(429)), {}, ["tokens"]),
            ("IDP", idp_says(response(429)), {}, ["tokens"]),
            ("Monitoring", engagement_says(response(429)), ENGAGED, ["tokens", "engage"]),
        )
    ),
    Row(
        name="nothing was sent: 429 from sentinel again is the same attempt",
        finds=[tried("throttled")],
        says=[sentinel_says(response(429, b"", Retry_After="20"))],
        calls=["tokens"],
        follows=ComesBack("throttled before sending", 20, 21),
        attempts=["throttled"],
    ),
    *(
        Row(
            name=f"nothing was sent: {what}",
            says=[said],
            calls=["tokens"],
            follows=RETRY,
            attempts=["not_sent"],
        )
        for what, said in (
            ("sentinel is down", sentinel_says(response(503))),
            ("sentinel does not answer", sentinel_says(FateUnknown("no answer within 30 s"))),
            ("a firewall's page for IDP", idp_says(response(403, b"<html>"))),
            ("no host", domain_api_says(NotSent("no such host"))),
        )
    ),
    Row(
        name="nothing was sent: Monitoring is down, and has pauses of its own",
        job=ENGAGED,
        says=[engagement_says(response(500, {"message": "down", "internalCode": 1}))],
        calls=["tokens", "engage"],
        follows=ComesBack("retry", 3),
        attempts=["not_engaged"],
    ),
    # The account as a whole
    Row(
        name="the account is held: nothing is sent",
        finds=[held],
        calls=["tokens"],
        follows=HELD,
    ),
    Row(
        name="the circuit is open: nothing is sent",
        finds=[barred],
        calls=["tokens"],
        follows=ComesBack("circuit", 4, 6),
    ),
    Row(
        name="it tries for all, and is taken",
        finds=[barred, five_seconds_later],
        says=[created()],
        follows=Records("created"),
    ),
    Row(
        name="it tries for all, and fails: that uses up no retry",
        finds=[barred, five_seconds_later],
        says=[page(403)],
        follows=ComesBack("circuit", 5, 11),
        attempts=["not_sent:probe"],
    ),
    Row(
        name="it tries for all, and its fate is unknown: it stays that",
        finds=[barred, five_seconds_later],
        says=[fate_unknown("no complete answer within 30 s")],
        follows=ComesBack("circuit", 5, 11),
        attempts=["unknown:probe"],
    ),
    Row(
        name="it tries for all, and no token is to be had: that uses up no retry",
        finds=[barred, five_seconds_later],
        says=[sentinel_says(NotSent("connection refused"))],
        calls=["tokens"],
        follows=ComesBack("circuit", 5, 11),
        attempts=["not_sent:probe"],
    ),
    # Retries run out
    Row(
        name="retries run out, and no attempt was unknown",
        finds=[tried(*["not_sent"] * 4)],
        says=[not_sent("connection refused")],
        follows=Records("failed:retries_exhausted"),
        attempts=["not_sent"] * 5,
    ),
    Row(
        name="retries run out after an unknown attempt, and a conversation is open",
        finds=[tried("unknown", *["not_sent"] * 3)],
        says=[not_sent("connection refused"), OURS_SHOWN],
        calls=LOOKED,
        follows=BY_MONITORING,
    ),
    Row(
        name="retries run out after an unknown attempt, and none is open",
        finds=[tried("unknown", *["not_sent"] * 3)],
        says=[not_sent("connection refused"), NONE_SHOWN],
        calls=LOOKED,
        follows=Records("failed:retries_exhausted"),
        attempts=["unknown", *["not_sent"] * 4],
    ),
    Row(
        name="retries run out after an unknown attempt, and Monitoring is away",
        finds=[tried(*["unknown"] * 4)],
        says=[page(503), LOOK_UP_AWAY],
        calls=LOOKED,
        follows=ComesBack("retry", 3),
        attempts=[*["unknown"] * 5, "unresolved"],
    ),
    Row(
        name="retries ran out, and a later look shows none",
        finds=[tried(*["unknown"] * 5, "unresolved")],
        says=[NONE_SHOWN],
        calls=NOT_SENT_LOOKED,
        follows=Records("failed:retries_exhausted"),
        attempts=[*["unknown"] * 5, "unresolved"],
    ),
    Row(
        name="retries ran out, and Monitoring was away four more times",
        finds=[tried(*["unknown"] * 5, *["unresolved"] * 4)],
        says=[LOOK_UP_AWAY],
        calls=NOT_SENT_LOOKED,
        follows=Records("failed:in_doubt"),
        attempts=[*["unknown"] * 5, *["unresolved"] * 4],
    ),
]

ROWS: Final = [*KILLED, *PROCESS, *ANSWERED]
# Another delivery has the job then.
NOT_OURS: Final = {"held", "taken over"}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_follows_from_one_try(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step, the calls that were made for it, and what is kept of the attempts."""
    job = make_job(1, **row.job)
    with job_world(tmp_path, monkeypatch, careful=row.careful) as world:
        work = world.work(job, job_document(1, **row.job))
        for found in row.finds:
            found(world, work)
        for said in row.says:
            world.live.script.append(
                Meanwhile(partial(said, world, work)) if callable(said) else said
            )
        step = world.try_once(world.expired(work) if row.is_expired else work)
        assert follows(step) == expected(row.follows, step), step
        assert world.live.calls == list(row.calls)
        assert not world.live.script, "LivePerson was to be asked more"
        kept = shown(step) if isinstance(step, Record | Publish) else world.history(job)
        assert kept == tuple(row.attempts)
        if isinstance(step, Soon) or (isinstance(step, Later) and step.why not in NOT_OURS):
            assert world.field(job, "state") in {"", "waiting"}
            assert not world.field(job, "owner"), "the job is still claimed"


def follows(step: Step | Soon) -> Follows:
    """Write a step as rows do."""
    match step:
        case Record(outcome=outcome):
            return Records(outcome.counter, json.loads(outcome.body).get("resolvedBy"))
        case Publish(outcome):
            assert outcome.counter != "replayed" or outcome.body == RECORDED
            return Publishes(outcome.counter)
        case Later(seconds, why):
            return ComesBack(why, seconds)
        case Soon(seconds, _):
            return TriesAgain(seconds)
        case Drop():
            raise AssertionError("nothing was forgotten")


def expected(wanted: Follows, step: Step | Soon) -> Follows:
    """Fill in the seconds of a step that lie within the bounds that a row gives."""
    if not isinstance(wanted, ComesBack | TriesAgain) or not isinstance(step, Later | Soon):
        return wanted
    within = wanted.least <= step.seconds <= max(wanted.least, wanted.most)
    seconds = step.seconds if within else wanted.least
    return replace(wanted, least=seconds, most=0.0)


def shown(step: Record | Publish) -> tuple[str, ...]:
    """Return what a dead letter shows of the attempts."""
    error = json.loads(step.outcome.body).get("error", {})
    return tuple(attempt["outcome"] for attempt in error.get("attempts", []))


# Rows whose moment matters


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give a world with two slots."""
    with job_world(tmp_path, monkeypatch, slots=2) as found:
        yield found


@contextmanager
def soon(happen: Callable[[], object]) -> Iterator[None]:
    """Have something happen while a thread waits."""
    timer = threading.Timer(0.05, happen)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_nothing_is_sent_while_the_store_is_away(world: World) -> None:
    """Without it there is no claim and no permit; the job goes on once it is back."""
    sent: list[list[str]] = []

    def come_back() -> None:
        sent.append(list(world.live.calls))
        world.server.connected = True

    world.live.script.append(created())
    world.server.connected = False
    with soon(come_back):
        step = world.try_once(world.work(make_job()))
    assert sent == [["tokens"]]
    assert follows(step) == Records("created")


def test_an_attempt_is_recorded_once_the_store_is_back(world: World) -> None:
    """It went away during the request, and no answer to that came."""

    def go_away() -> None:
        world.server.connected = False
        threading.Timer(0.05, come_back).start()  # not before it went

    def come_back() -> None:
        world.server.connected = True

    world.live.script.extend([Meanwhile(go_away), page(503)])
    step = world.try_once(world.work(make_job()))
    assert follows(step) == ComesBack("retry", 5)
    assert world.history(make_job()) == ("unknown",)


def test_a_job_that_waits_for_its_permit_is_let_go_at_sigterm(world: World) -> None:
    """Nothing was sent for it."""
    world.account = replace(world.account, ceiling=Ceiling(rate=1e6, in_flight=1))
    world.begin(make_job(2), f"{ALIVE}/2")
    with soon(world.shutdown.draining.set), pytest.raises(Stopping):
        world.try_once(world.work(make_job()))
    assert world.live.calls == ["tokens"]
    assert world.field(make_job(), "state") == "claimed"


def test_an_account_with_its_share_of_the_slots_gets_no_more(world: World) -> None:
    """Its job comes back; LivePerson is not called."""
    work = world.work(make_job())
    with world.rules.permits.seat(work):
        step = world.try_once(work)
    assert isinstance(step, Later)
    assert (step.why, step.seconds >= 1) == ("crowded", True)
    assert world.live.calls == []
    assert world.field(make_job(), "waits_for") == "crowded"


def test_what_monitoring_offers_is_sent(world: World) -> None:
    """The visit is kept for the next attempt, and the campaign goes into the conversation."""
    offered = documented("resp_40_monitoring_201_expose", status=201).body
    job = make_job(1, **ENGAGED)
    world.live.script.extend([engagement_says(response(201, offered)), page(503)])
    step = world.try_once(world.work(job))
    assert follows(step) == ComesBack("retry", 5)
    assert world.live.calls == ["tokens", "engage", "create"]
    (sent,) = world.live.sent
    assert sent["campaignInfo"] == {"campaignId": "880524023", "engagementId": "880524123"}
    assert json.loads(world.field(job, "visit")) == ["xyz", "abc"]
