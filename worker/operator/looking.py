"""Looking at the messages of a queue without taking them off it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from redis import Redis

from config.server_urls import is_redis
from worker.messaging.broker import body_of
from worker.operator.taking import Taker, taking
from worker.redis_transport.envelope import read_envelope
from worker.redis_transport.queue import Layout
from worker.store.connection import connect

# How many messages are read from Redis at a time.
PAGE_MESSAGES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A message as it lies in its queue."""

    body: bytes = field(repr=False)
    headers: dict[str, Any] = field(repr=False)


def look(broker_url: str, queue: str, *, limit: int | None = None) -> Generator[Seen]:
    """Yield the messages of a queue in the order in which they would be taken now.

    Close the iterator when done with it. On Redis nothing is touched. AMQP knows no way to look:
    there the messages are in hand for as long as it takes, and then go back to the front, which a
    quorum queue does in an order of its own. Raises what the broker raises.
    """
    if is_redis(broker_url):
        client = connect(broker_url, connections=1)
        try:
            yield from islice(_browse(client, queue), limit)
        finally:
            client.close()
        return
    with taking(broker_url, queue) as taker:
        yield from islice(_borrow(taker), limit)


def _browse(client: Redis, queue: str) -> Iterator[Seen]:
    layout = Layout()
    for step in layout.steps:
        name = layout.list_of(queue, step)
        last = -1
        while page := _page(client, name, last):
            for payload in reversed(page):
                yield _seen(payload)
            last -= len(page)


def _page(client: Redis, name: str, last: int) -> list[bytes]:
    page: Any = client.lrange(name, last - PAGE_MESSAGES + 1, last)
    return list(page)


def _seen(payload: bytes) -> Seen:
    message = read_envelope(payload, lease="", queue="", deliveries=0)
    return Seen(body=message["body"], headers=message["headers"])


def _borrow(taker: Taker) -> Iterator[Seen]:
    for message in iter(taker.take, None):
        yield Seen(body=body_of(message), headers=dict(message.headers))
