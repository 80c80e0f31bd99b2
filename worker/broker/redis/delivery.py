"""A delivery on Redis and Valkey, which the server itself puts off."""

from __future__ import annotations

from worker.broker.delivery import Delivery


class RedisDelivery(Delivery):
    """A message that this process has leased."""

    def defer(self, seconds: float) -> None:
        """Have it moved to the sorted set of what waits for its time."""
        self._in_hand.end(self, lambda: self.channel.defer(self.tag, seconds))
