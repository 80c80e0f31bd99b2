"""Trying what a worker does at its broker, one finding a thing, and each right that is missing."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from amqp.exceptions import AccessRefused, ChannelError
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from config.names import EXCHANGE_NAME, JOBS_QUEUE, account_queue
from config.settings import Settings
from config.urls import public_url, said
from console.admin.checks import Finding
from tasks.messages.outgoing import Outgoing
from tasks.store.replies import advice
from worker.broker import broker
from worker.broker.broker import DELAY_EXCHANGE, Refused
from worker.broker.confirms import Kind, NotConfirmed
from worker.broker.producers import confirmed_producer
from worker.broker.rabbitmq.alarm import alarm, probe

Right = Literal["configure", "write", "read"]

# A broker that takes longer for one answer is not one to work with, in seconds.
ANSWER_SECONDS: Final = 5.0

# RabbitMQ names what may not be used, and since 3.12 the right; before, the call tells it.
_REFUSED: Final = re.compile(
    r"(?:(?P<right>configure|write|read) )?access to (?P<kind>queue|exchange) '(?P<name>[^']*)'"
)
_NUMBER: Final = re.compile(r"\d+")
# RabbitMQ looks at a consumer's arguments once it may read, and takes none for a number but one:
# so nothing is consumed.
_NO_CONSUMER: Final = {"x-priority": "check"}


@dataclass(frozen=True, slots=True)
class Lack:
    """A right that a user does not have on a queue or an exchange."""

    right: Right
    kind: str
    name: str


def check_broker(url: str, settings: Settings) -> Iterator[Finding]:
    """Connect, declare what a worker declares, and try to publish and to read."""
    name = public_url(url)
    connection = broker.connection(url, answer_seconds=ANSWER_SECONDS)
    errors: tuple[type[BaseException], ...] = (
        *connection.connection_errors,
        *connection.channel_errors,
        NotConfirmed,
        OperationalError,
    )
    queues = [JOBS_QUEUE, *map(account_queue, settings.accounts)]
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    except errors as error:
        todo = advice(error, "start it, or correct OVERTURE_BROKER_URL")
        yield Finding("fails", "broker", f"{name} cannot be used: {said(error, url)}; {todo}")
        return
    try:
        yield Finding("works", "broker", f"{name} answers")
        found = _on_rabbitmq if broker.is_rabbitmq(url) else _on_others
        yield from found(url, connection, queues)
    except errors as error:
        todo = "check it, and the network on the way there"
        yield Finding("fails", "broker", f"{name} breaks off: {said(error, url)}; {todo}")
    finally:
        connection.collect()


def _on_rabbitmq(url: str, connection: Connection, queues: list[str]) -> Iterator[Finding]:
    if reason := alarm(url):
        text = (
            f"RabbitMQ has a {reason} and takes no messages: jobs, outcomes and delays wait; give "
            "it memory or disk space, or change its limits"
        )
        yield Finding("fails", "alarm", text)
    refused = broker.declare_each(connection, queues)
    others = [one.error for one in refused if not isinstance(one.error, AccessRefused)]
    if others:
        todo = "a queue declared with other arguments must be deleted first"
        yield Finding("fails", "queues", f"are refused: {said(others[0], url)}; {todo}")
    unread = {queue for queue in queues if not _may_read(connection, queue)}
    lacks = dict.fromkeys(_lacks(connection, refused))
    lacks |= dict.fromkeys(Lack("read", "queue", queue) for queue in sorted(unread))
    if not reason:
        for exchange in (EXCHANGE_NAME, DELAY_EXCHANGE):
            refusal = probe(connection, exchange)[1]
            if refusal is None:
                raise NotConfirmed("it confirmed no message")
            if refusal.kind is Kind.DENIED:
                lacks[Lack("write", "exchange", exchange)] = None
    yield from _missing(url, lacks)
    if not refused:
        yield Finding("works", "queues", "are declared")
    if not (reason or lacks):
        yield Finding("works", "message", "a test message was confirmed")


def _lacks(connection: Connection, refused: Iterable[Refused]) -> Iterator[Lack]:
    for one in refused:
        found = _REFUSED.search(str(one.error))
        if not isinstance(one.error, AccessRefused) or found is None:
            continue
        kind, name = found["kind"], found["name"]
        right: Any = found["right"] or _right(connection, one, kind, name)
        yield Lack(right, kind, name)


def _right(connection: Connection, refused: Refused, kind: str, name: str) -> Right:
    """Tell from a call that was refused which right it lacked."""
    match refused.call, kind:
        case "exchange_declare", _:
            return "configure"
        case "exchange_bind", _:
            return "write" if refused.options["destination"] == name else "read"
        case "queue_bind", _:
            return "write" if kind == "queue" else "read"
        case "queue_declare", "exchange":
            # Where its dead messages go.
            return "write"
    # One that has to be created, and whose dead messages go somewhere, must be readable as well.
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


def _missing(url: str, lacks: Iterable[Lack]) -> Iterator[Finding]:
    """Report each right, and those on exchanges and queues that differ in a number together."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for lack in lacks:
        pattern = _NUMBER.sub("#", lack.name) if "delayed" in lack.name else lack.name
        alike.setdefault((lack.right, lack.kind, pattern), []).append(lack.name)
    user = broker.connection(url).userid or "guest"
    for (right, kind, _), names in alike.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        text = (
            f"the user {user} lacks the right to {right} the {kind} {names[0]}{more}: grant it "
            f"with rabbitmqctl set_permissions; operations.md lists what a worker needs"
        )
        yield Finding("fails", "permission", text)


def _on_others(url: str, connection: Connection, queues: list[str]) -> Iterator[Finding]:
    errors: tuple[type[BaseException], ...] = (
        *connection.connection_errors,
        *connection.channel_errors,
        NotConfirmed,
    )
    try:
        broker.declare(connection, queues)
        yield Finding("works", "queues", "are declared")
    except errors as error:
        yield Finding("fails", "queues", f"are refused: {said(error, url)}; {_todo(error)}")
    try:
        _echo(connection)
        yield Finding("works", "message", "a test message came back")
    except errors as error:
        yield Finding("fails", "message", f"is refused: {said(error, url)}; {_todo(error)}")


def _todo(error: BaseException) -> str:
    return advice(error, "the user needs to write and to read the keys that operations.md lists")


def _echo(connection: Connection) -> None:
    """Send a message to a queue that only this connection knows, and get it back."""
    name = f"{JOBS_QUEUE}.check-{uuid.uuid4()}"
    channel: Any = connection.channel()
    queue = Queue(name, durable=False, exclusive=True, auto_delete=True).bind(channel)
    queue.queue_declare()
    try:
        message = Outgoing(exchange="", routing_key=name, body=b"{}", message_id=name)
        confirmed_producer(connection).publish([message])
        if queue.get(no_ack=True) is None:
            raise NotConfirmed("it was confirmed but is not there")
    finally:
        queue.delete()
