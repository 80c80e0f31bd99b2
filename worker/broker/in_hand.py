"""The messages that a worker has in hand, and settling them: ack, hand back or put off.

Only the thread that owns the connection may write to it. It settles many messages in one turn of
its loop, and one acknowledgement covers as many of them as it can.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from weakref import WeakSet

import structlog

log = structlog.get_logger()

End = Callable[[], object]


class HeldMessage(Protocol):
    """A message in hand."""

    @property
    def channel(self) -> Any:
        """The channel it came through; on RabbitMQ tags count up on each."""

    @property
    def tag(self) -> Any:
        """The broker's name for this delivery."""

    def acknowledge(self, *, multiple: bool) -> None:
        """Acknowledge it to the broker; with `multiple`, all before it as well."""


class InHand:
    """The messages in hand, in the order in which they came.

    `soon` and `now` run a function in the thread that owns the connection: a little later, and as
    early as possible. `now` is used once `enough` messages have ended. `add` and `settle` are for
    that thread, the rest for any. With `multiple` one acknowledgement can cover many messages
    (AMQP, basic.ack). `ended_at` is when any was last settled, on the monotonic clock.
    """

    def __init__(
        self,
        soon: Callable[[End], object],
        now: Callable[[End], object],
        *,
        enough: int,
        multiple: bool,
    ) -> None:
        self._soon = soon
        self._now = now
        self._enough = enough
        self._multiple = multiple
        self._held: dict[HeldMessage, None] = {}
        self._ended: deque[tuple[HeldMessage, End | None]] = deque()
        self._is_told = False
        self.ended_at = time.monotonic()
        self._unsound: WeakSet[Any] = WeakSet()

    def __len__(self) -> int:
        """Return how many messages are in hand."""
        return len(self._held)

    def add(self, held: HeldMessage) -> None:
        """Add a message that has come."""
        self._held[held] = None

    def ack(self, held: HeldMessage) -> None:
        """Acknowledge a message soon."""
        self._tell(held, None)

    def end(self, held: HeldMessage, how: End) -> None:
        """Settle a message soon by calling `how`."""
        self._tell(held, how)

    def settle(self) -> None:
        """Settle the messages that have ended. Idempotent."""
        self._is_told = False
        acked: dict[HeldMessage, None] = {}
        if self._ended:
            self.ended_at = time.monotonic()
        while self._ended:
            held, how = self._ended.popleft()
            if how is None:
                acked[held] = None
            else:
                self._end(held, how)
                self._held.pop(held, None)
        for held, multiple in self._acks(acked):
            self._end(held, lambda: held.acknowledge(multiple=multiple))  # noqa: B023 - called at once
        for held in acked:
            self._held.pop(held, None)

    def _tell(self, held: HeldMessage, how: End | None) -> None:
        # `settle` does these two in the other order: so it runs once too often at worst.
        self._ended.append((held, how))
        if not self._is_told:
            self._is_told = True
            self._soon(self.settle)
        # If two threads pass `enough` at once, neither sees it: it is settled `soon` then.
        if len(self._ended) == self._enough:
            self._now(self.settle)

    def _acks(self, acked: dict[HeldMessage, None]) -> Iterator[tuple[HeldMessage, bool]]:
        """Yield the acknowledgements to write, each with whether it covers all before it.

        Messages older than all that stay in hand are covered by the newest of them.
        """
        if not self._multiple:
            yield from ((held, False) for held in acked)
            return
        for channel in {held.channel: None for held in acked}:
            mine = sorted((held for held in acked if held.channel is channel), key=_tag)
            stays = (held for held in self._held if held.channel is channel and held not in acked)
            oldest = next(stays, None)
            together = [
                held
                for held in mine
                if channel not in self._unsound and (oldest is None or held.tag < oldest.tag)
            ]
            if together:
                yield together[-1], True
            yield from ((held, False) for held in mine[len(together) :])

    def _end(self, held: HeldMessage, how: End) -> None:
        try:
            how()
        except Exception as error:  # noqa: BLE001 - whatever broke, the broker delivers it again
            log.warning("delivery.not_acknowledged", error=str(error)[:200])
            # The broker may still have it: no later acknowledgement may cover it.
            self._unsound.add(held.channel)


def _tag(held: HeldMessage) -> Any:
    return held.tag
