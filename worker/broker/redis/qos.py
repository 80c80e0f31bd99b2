"""The messages that a channel of the Redis transport has in hand, and its prefetch limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import KeysView
from typing import Any, Final, Protocol

from kombu.transport import redis as kombu_redis

from worker.broker.redis.leases import LeaseKeeper, Verb

# How many messages one call takes at most.
TAKE_LIMIT: Final = 64


class Holder(Protocol):
    """What is used of the channel."""

    keeper: LeaseKeeper
    is_lost: bool


class LeasingQoS(kombu_redis.QoS):
    """Counts the messages in hand; it never talks to the server, so it cannot fail."""

    _delivered: OrderedDict[str, Any]
    _on_collect: Any

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        super().__init__(channel, prefetch_count)
        self._holder: Holder = channel

    def room(self) -> int:
        """Return how many more messages may be taken now.

        Jobs whose channel was lost count too: they still run in this process.
        """
        if not self.prefetch_count:
            return TAKE_LIMIT
        in_hand = len(self._delivered) + self._holder.keeper.orphans
        return max(0, min(TAKE_LIMIT, self.prefetch_count - in_hand))

    def can_consume(self) -> bool:
        """Tell whether there is room for another message."""
        return self.room() > 0

    def append(self, message: Any, delivery_tag: str) -> None:
        """Add a message; its lease is being renewed already."""
        self._delivered[delivery_tag] = message

    def leases(self) -> KeysView[str]:
        """Return the leases of what is in hand."""
        return self._delivered.keys()

    def settle(self, verb: Verb, delivery_tag: str, *, seconds: float = 0.0) -> None:
        """Settle a message. For any thread."""
        # In this order: a message that is not in `_delivered` counts as settled.
        self._holder.keeper.settle(verb, delivery_tag, seconds=seconds)
        self._delivered.pop(delivery_tag, None)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message."""
        self.settle("ack", delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Drop a message, or put it back where it is taken next."""
        self.settle("requeue" if requeue else "ack", delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Put everything in hand back, so that the oldest is taken first."""
        del client
        for delivery_tag in reversed(list(self.leases())):
            self.reject(delivery_tag, requeue=True)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: kombu would look for messages that its own consumers left behind."""

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Put everything in hand back when the channel closes, unless its jobs still run."""
        del stderr
        self._on_collect.cancel()
        if not self._holder.is_lost:
            self.restore_unacked()
