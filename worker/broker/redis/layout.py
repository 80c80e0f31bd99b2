"""The keys and scripts of a queue of the Redis transport."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kombu.transport.redis import PRIORITY_STEPS
from kombu.transport.redis import Channel as KombuChannel
from redis import Redis
from redis.commands.core import Script

from tasks.store.connection import SCRIPTS as STORE_SCRIPTS
from tasks.store.connection import joined

SCRIPTS: Final = Path(__file__).parent / "lua"
# A redelivered message carries its count in this header, as RabbitMQ's messages do.
DELIVERIES_HEADER: Final = "x-delivery-count"

_WRAPPING: Final = re.compile(rb'\A(\{?)"x-delivery-count":\d{1,6},')


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages of a queue can be taken now, are delayed, and are in hand."""

    ready: int
    delayed: int
    unacked: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the keys of queues, as kombu's producers and the scripts use them."""

    prefix: str = ""
    separator: str = KombuChannel.sep
    steps: tuple[int, ...] = tuple(sorted(PRIORITY_STEPS, reverse=True))

    def list_of(self, queue: str, step: int = 0) -> str:
        """Return the list that producers push messages of this priority step to."""
        return f"{self.prefix}{queue}{self.separator}{step}" if step else f"{self.prefix}{queue}"

    def keys(self, queues: Iterable[str]) -> list[str]:
        """Return every key of the queues, in the order of the scripts' KEYS."""
        return [
            key
            for queue in queues
            for key in (
                f"{self.prefix}{queue}:records",
                f"{self.prefix}{queue}:leases",
                f"{self.prefix}{queue}:delayed",
                f"{self.prefix}{queue}:since",
                *(self.list_of(queue, step) for step in self.steps),
            )
        ]


def queue_script(client: Redis, name: str) -> Script:
    """Return a script of the queues, ready to be called; it shares the store's clock.lua."""
    files = (STORE_SCRIPTS / "clock.lua", SCRIPTS / "queue.lua", SCRIPTS / f"{name}.lua")
    return joined(client, *files)


def unwrapped(element: bytes) -> bytes:
    """Return a list's element as its producer pushed it, without a count of deliveries."""
    return _WRAPPING.sub(rb"\1", element)


def queue_depths(client: Redis, queues: Sequence[str]) -> dict[str, Depth]:
    """Count the messages of each queue, in one round trip. Raises redis.RedisError."""
    layout = Layout()
    width = 2 + len(layout.steps)
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            _, leases, delayed, _, *lists = layout.keys([queue])
            pipe.zcard(delayed)
            pipe.zcard(leases)
            for name in lists:
                pipe.llen(name)
        counts: list[Any] = pipe.execute()
    return {
        queue: Depth(ready=sum(lengths), delayed=delayed, unacked=unacked)
        for number, queue in enumerate(queues)
        for delayed, unacked, *lengths in [counts[number * width : (number + 1) * width]]
    }
