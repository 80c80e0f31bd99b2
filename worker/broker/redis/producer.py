"""Publishing on Redis and Valkey: kombu's envelopes in its lists, many of them in one command.

kombu's own producer makes a new client for each batch, and looks up the queues of each message.
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
from redis.exceptions import NoPermissionError, ReadOnlyError, ResponseError

from tasks.messages.json_text import dumps_compact
from tasks.messages.outgoing import PERSISTENT, Outgoing
from tasks.store.replies import classify
from worker.broker.confirms import NotConfirmed, Refusal, RefusalKind, Unsendable
from worker.broker.redis.layout import Layout

BATCH: Final = 500
# How long the bindings of an exchange are cached.
BINDINGS_SECONDS: Final = 1.0
# Redis's largest value (proto-max-bulk-len); a larger one ends the connection.
MAX_BYTES: Final = 512 * 1024 * 1024
# Room for the rest of the envelope beside the body.
MARGIN_BYTES: Final = 64 * 1024


class RedisProducer:
    """A ConfirmedProducer: Redis's answer to a write is its confirm."""

    blocked = ""
    heard_at = math.inf

    def __init__(self, broker: Connection) -> None:
        # kombu's types lack virtual channels.
        self._channel = cast("Any", broker.channel())
        self._client = Redis(connection_pool=self._channel.pool)
        self._layout = Layout()
        self._steps = sorted(self._layout.steps)
        self._known: dict[tuple[str, str], tuple[float, list[str]]] = {}
        self._last = 0
        self._settled: list[tuple[int, Refusal | None]] = []

    def beat(self) -> None:
        """Do nothing: Redis has no heartbeats."""

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Write the messages, in their order."""
        self.wait(self.send(messages))

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Write the messages, in their order; an error of one list does not affect the others."""
        for start in range(0, len(messages), BATCH):
            self._write(messages[start : start + BATCH])
        return self._last

    def wait(self, through: int) -> None:
        """Return at once: `send` has waited for the answers. Raises NotConfirmed for a refusal."""
        del through
        for _, refusal in self.take():
            if refusal is not None:
                raise NotConfirmed(refusal.why)

    def take(self, *, seconds: float = 0) -> list[tuple[int, Refusal | None]]:
        """Return the confirms and refusals since the last call."""
        del seconds
        settled, self._settled = self._settled, []
        return settled

    def _write(self, messages: Sequence[Outgoing]) -> None:
        lists: defaultdict[str, list[bytes]] = defaultdict(list)
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        found: dict[int, Refusal | None] = {}
        for message in messages:
            self._last += 1
            try:
                envelope = write_envelope(message)
                queues = self._queues(message.exchange, message.routing_key)
            except Unsendable as error:
                found[self._last] = Refusal(RefusalKind.UNSENDABLE, str(error))
                continue
            except NotConfirmed as error:
                found[self._last] = Refusal(RefusalKind.MISSING, str(error))
                continue
            except ResponseError as error:
                found[self._last] = _refusal_of(error, f"the bindings of {message.exchange!r}")
                continue
            if len(envelope) > MAX_BYTES:
                why = f"it has {len(envelope)} octets, and Redis takes {MAX_BYTES}"
                # In base64 the body takes four thirds of its size.
                found[self._last] = Refusal(
                    RefusalKind.TOO_LARGE, why, MAX_BYTES * 3 // 4 - MARGIN_BYTES
                )
                continue
            found[self._last] = None
            step = self._steps[bisect(self._steps, message.priority) - 1]
            for queue in queues:
                name = self._layout.list_of(queue, step)
                lists[name].append(envelope)
                numbers[name].append(self._last)
        with self._client.pipeline(transaction=False) as pipe:
            for name, envelopes in lists.items():
                pipe.lpush(name, *envelopes)
            answers = pipe.execute(raise_on_error=False)
        for name, answer in zip(lists, answers, strict=True):
            if isinstance(answer, Exception):
                found.update(dict.fromkeys(numbers[name], _refusal_of(answer, f"the list {name}")))
        self._settled += found.items()

    def _queues(self, exchange: str, routing_key: str) -> list[str]:
        """Return a message's queues; raises NotConfirmed if there is none: kombu drops it then."""
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


def _refusal_of(answer: Exception, what: str) -> Refusal:
    """Return why the server refused one key; raises an error that concerns the whole server."""
    if isinstance(answer, ReadOnlyError) or not isinstance(answer, ResponseError):
        raise answer
    kind = RefusalKind.DENIED if isinstance(answer, NoPermissionError) else RefusalKind.NOT_STORED
    return Refusal(kind, f"Redis answers {classify(answer).cause!r} for {what}")


def write_envelope(message: Outgoing) -> bytes:
    """Write a message as kombu's ordinary Redis transport does. Raises Unsendable."""
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
    try:
        return dumps_compact(envelope)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable(f"it cannot be written as JSON ({error})") from None
