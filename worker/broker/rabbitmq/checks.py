"""What `overture check` tries on RabbitMQ, and which rights the user lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from amqp.exceptions import AccessRefused, ChannelError
from kombu import Connection

from config.names import EXCHANGE_NAME
from config.urls import said
from worker.broker.base import Broker
from worker.broker.confirms import NotConfirmed, RefusalKind
from worker.broker.rabbitmq.delivery import DELAY_EXCHANGE
from worker.broker.rabbitmq.producer import probe
from worker.broker.topology import Refused
from worker.finding import Finding

Right = Literal["configure", "write", "read"]

# RabbitMQ names the queue or exchange, and since 3.12 the right; before, it follows from the call.
_REFUSED: Final = re.compile(
    r"(?:(?P<right>configure|write|read) )?access to (?P<kind>queue|exchange) '(?P<name>[^']*)'"
)
_NUMBER: Final = re.compile(r"\d+")
# RabbitMQ checks a consumer's right to read first, and then refuses this priority, which is no
# number: so nothing is consumed.
_NO_CONSUMER: Final = {"x-priority": "check"}


@dataclass(frozen=True, slots=True)
class Lack:
    """A right that a user does not have on a queue or an exchange."""

    right: Right
    kind: str
    name: str


def check(
    broker: Broker, connection: Connection, job_queues: Sequence[str], *, alarm: str
) -> Iterator[Finding]:
    """Declare, publish and read; during an `alarm` nothing is published.

    Raises NotConfirmed, and the connection's own errors.
    """
    url = broker.url
    if alarm:
        text = (
            f"RabbitMQ has a {alarm} and takes no messages: jobs, outcomes and delays wait; give "
            "it memory or disk space, or change its limits"
        )
        yield Finding("fails", "alarm", text)
    refused = broker.declare_each(connection, job_queues)
    others = [one.error for one in refused if not one.lacks_right]
    if others:
        todo = "a queue declared with other arguments must be deleted first"
        yield Finding("fails", "queues", f"are refused: {said(others[0], url)}; {todo}")
    unread = {queue for queue in job_queues if not _may_read(connection, queue)}
    lacks = dict.fromkeys(_lacks(connection, refused))
    lacks |= dict.fromkeys(Lack("read", "queue", queue) for queue in sorted(unread))
    if not alarm:
        for exchange in (EXCHANGE_NAME, DELAY_EXCHANGE):
            refusal = probe(connection, exchange)[1]
            if refusal is None:
                raise NotConfirmed("it confirmed no message")
            if refusal.kind is RefusalKind.DENIED:
                lacks[Lack("write", "exchange", exchange)] = None
    yield from _missing(connection.userid or "guest", lacks)
    if not refused:
        yield Finding("works", "queues", "are declared")
    if not (alarm or lacks):
        yield Finding("works", "message", "a test message was confirmed")


def _lacks(connection: Connection, refused: Iterable[Refused]) -> Iterator[Lack]:
    for one in refused:
        found = _REFUSED.search(str(one.error))
        if not one.lacks_right or found is None:
            continue
        kind, name = found["kind"], found["name"]
        right: Any = found["right"] or _right(connection, one, kind, name)
        yield Lack(right, kind, name)


def _right(connection: Connection, refused: Refused, kind: str, name: str) -> Right:
    """Return the right that a refused call needed."""
    match refused.call, kind:
        case "exchange_declare", _:
            return "configure"
        case "exchange_bind", _:
            return "write" if refused.options["destination"] == name else "read"
        case "queue_bind", _:
            return "write" if kind == "queue" else "read"
        case "queue_declare", "exchange":
            # The exchange for its dead letters.
            return "write"
    # To create a queue with a dead-letter exchange also takes the right to read the queue.
    is_read = _exists(connection, name) or _may_read(connection, name)
    return "configure" if is_read else "read"


def _exists(connection: Connection, queue: str) -> bool:
    channel: Any = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except ChannelError:
        return False
    return True


def _may_read(connection: Connection, queue: str) -> bool:
    channel: Any = connection.channel()
    try:
        channel.basic_cancel(channel.basic_consume(queue, arguments=_NO_CONSUMER))
    except AccessRefused:
        return False
    except ChannelError:
        return True
    return True


def _missing(user: str, lacks: Iterable[Lack]) -> Iterator[Finding]:
    """Report each missing right; those on delayed queues, which differ in a number, as one."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for lack in lacks:
        pattern = _NUMBER.sub("#", lack.name) if "delayed" in lack.name else lack.name
        alike.setdefault((lack.right, lack.kind, pattern), []).append(lack.name)
    for (right, kind, _), names in alike.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        text = (
            f"the user {user} lacks the right to {right} the {kind} {names[0]}{more}: grant it "
            f"with rabbitmqctl set_permissions; operations.md lists what a worker needs"
        )
        yield Finding("fails", "permission", text)
