"""Publishing on Redis and Valkey: kombu's envelopes in its lists, many of them in one command.

kombu's own producer makes a new client for every batch, and looks every message's queues up anew.
"""

from __future__ import annotations

import base64
import math
import time
from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, cast

from kombu import Connection
from kombu.utils.uuid import uuid
from redis import Redis

from worker.messages.json_text import dumps_compact
from worker.messages.outgoing import PERSISTENT, Outgoing
from worker.messaging.confirms import NotConfirmed
from worker.redis_transport.queue import Layout

BATCH: Final = 500
# How long the queues that an exchange leads to are taken as known, in seconds.
BINDINGS_SECONDS: Final = 1.0


class RedisProducer:
    """A ConfirmedProducer; Redis confirms each write by answering it."""

    def __init__(self, broker: Connection) -> None:
        # kombu's types know no virtual channel.
        self._channel = cast("Any", broker.channel())
        self._client = Redis(connection_pool=self._channel.pool)
        self._layout = Layout()
        self._steps = sorted(self._layout.steps)
        self._known: dict[tuple[str, str], tuple[float, list[str]]] = {}

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Write the messages, in their order."""
        self.send(messages)

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Write the messages, in their order; nothing is left to wait for."""
        for start in range(0, len(messages), BATCH):
            lists: defaultdict[str, list[bytes]] = defaultdict(list)
            for message in messages[start : start + BATCH]:
                envelope = write_envelope(message)
                step = self._steps[bisect(self._steps, message.priority) - 1]
                for queue in self._queues(message.exchange, message.routing_key):
                    lists[self._layout.list_of(queue, step)].append(envelope)
            with self._client.pipeline(transaction=False) as pipe:
                for name, envelopes in lists.items():
                    pipe.lpush(name, *envelopes)
                pipe.execute()
        return 0

    def wait(self, through: int) -> None:
        """Return at once: what was sent is there."""

    def _queues(self, exchange: str, routing_key: str) -> list[str]:
        """Return where a message goes; raises NotConfirmed where kombu would drop it in silence."""
        if not exchange:
            return [routing_key]
        read_at, queues = self._known.get((exchange, routing_key), (-math.inf, []))
        if time.monotonic() - read_at > BINDINGS_SECONDS:
            channel = self._channel
            table = channel.get_table(exchange)
            queues = list(channel.typeof(exchange).lookup(table, exchange, routing_key, None))
            if not queues:
                raise NotConfirmed(f"no queue is bound to the exchange {exchange!r}")
            self._known[exchange, routing_key] = time.monotonic(), queues
        return queues


def write_envelope(message: Outgoing) -> bytes:
    """Write a message as kombu's ordinary Redis transport does."""
    envelope = {
        "body": base64.b64encode(message.body).decode(),
        "content-encoding": message.content_encoding,
        "content-type": message.content_type,
        "headers": dict(message.headers),
        "properties": {
            "delivery_mode": PERSISTENT,
            "message_id": message.message_id,
            "type": message.type,
            "priority": message.priority,
            "body_encoding": "base64",
            "delivery_tag": uuid(),
            "delivery_info": {"exchange": message.exchange, "routing_key": message.routing_key},
        },
    }
    return dumps_compact(envelope)
