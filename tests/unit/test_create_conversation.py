"""Reading a delivery, in the thread of the event loop."""

from __future__ import annotations

from typing import Any, NoReturn

from tasks.attempt import Rules
from tasks.create_conversation import BUG_RETRY_SECONDS, CreateConversation


class Unforeseen:
    """A delivery that cannot even be looked at."""

    def __init__(self) -> None:
        self.deferred: list[float] = []

    @property
    def received(self) -> NoReturn:
        raise RuntimeError("nobody thought of this")

    def defer(self, seconds: float) -> None:
        self.deferred.append(seconds)


def test_no_delivery_ends_the_event_loop() -> None:
    """It is put off instead: the broker would hand it out again at once, and to every worker."""
    absent: Any = None
    rules = Rules(ledger=absent, permits=absent, shutdown=absent, policy=absent, max_losses=1)
    task = CreateConversation(
        rules,
        publisher=absent,
        pulse=absent,
        accounts={},
        max_message_bytes=1000,
    )
    delivery: Any = Unforeseen()
    assert task.receive(delivery) is None
    assert delivery.deferred == [BUG_RETRY_SECONDS]
