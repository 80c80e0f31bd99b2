"""How much of a message's body this process reads, whichever broker has it."""

from __future__ import annotations

from typing import Final

from worker.broker import compression

# A body up to this size is kept whole, even where it is too long for a job: its dead letter then
# holds all of it.
WHOLE_BYTES: Final = 16 * 1024 * 1024
# So much of a longer one is kept.
BEGINNING_BYTES: Final = 1024 * 1024
# A command reads whole what a worker or a broker may have put on a queue: RabbitMQ takes so much.
COMMAND_BYTES: Final = 128 * 1024 * 1024

_most = COMMAND_BYTES


def bound(max_message_bytes: int) -> None:
    """Have this process read the bodies of jobs, packed or not.

    What `max_message_bytes` allows is kept whole in any case.
    """
    global _most  # noqa: PLW0603 - one bound for all connections of a process
    _most = max(WHOLE_BYTES, max_message_bytes)
    compression.bound(max_message_bytes)


def most_body_bytes() -> int:
    """Return how large a body may be that is kept whole."""
    return _most
