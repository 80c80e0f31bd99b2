"""A delivery on Redis and Valkey: the server itself holds a delayed message."""

from __future__ import annotations

from worker.broker.delivery import Delivery


class RedisDelivery(Delivery):
    """A message that this process has leased."""

    def defer(self, seconds: float) -> None:
        """Move it to the sorted set of delayed messages."""
        self._in_hand.end(self, lambda: self.channel.defer(self.tag, seconds))
