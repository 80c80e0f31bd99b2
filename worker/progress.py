"""Progress: the one definition of what a worker that goes on does, and of what stands still.

Jobs wait or are in hand, broker and store answer, and for a minute nothing came of them: then the
worker has stalled. What waits for somebody else has not: for a permit, for an answer of LivePerson
within its deadline, for a broker with an alarm, for a server that is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

# Nothing legitimate keeps any part of a worker still for so long.
STALL_SECONDS: Final = 60.0
# What `trouble` holds where the broker itself says that it takes no messages for now.
ALARM: Final = "alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen of a worker in one look; times are of one monotonic clock, in seconds.

    A time that begins something (`idle_since`: slots are free and messages wait; `busy_since`: jobs
    are in hand; `unpublished_since`: messages are to be published) is `now` where that is not so.
    """

    now: float
    turned_at: float
    """When the event loop last turned."""
    received_at: float
    """When a message last came."""
    moved_at: float
    """When a message last left the worker, or a thread got an answer that it had asked for."""
    confirmed_at: float
    """When the broker last confirmed anything."""
    idle_since: float
    busy_since: float
    unpublished_since: float
    ready: int
    """How many messages wait on the worker's queues."""
    busy: int
    """How many messages are in hand, those aside that are to be published."""
    unpublished: int
    trouble: str
    """What keeps the publisher, in its own words; empty if nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a worker gets on, and why not.

    `stalled`: what stands still is the worker's own, and a new process goes on. `refused`: the
    broker answers and takes nothing of what comes out, which a new process would not change.
    `held`: the broker itself says that it takes nothing for now.
    """

    state: Literal["fine", "held", "refused", "stalled"]
    why: str = ""


def judge(sight: Sight, *, seconds: float = STALL_SECONDS, answer_seconds: float = 0) -> Verdict:
    """Judge a worker whose broker answers.

    `answer_seconds` is how long a thread waits at most for an answer that it has asked for.
    """
    if (still := sight.now - sight.turned_at) > seconds:
        return Verdict("stalled", f"its event loop has not turned for {still:.0f} s")
    still = sight.now - max(sight.confirmed_at, sight.unpublished_since)
    if sight.unpublished and still > seconds:
        why = f"{sight.unpublished} messages are to be published, none confirmed for {still:.0f} s"
        if not sight.trouble:
            return Verdict("stalled", f"its publisher stands still: {why}")
        return Verdict("held" if ALARM in sight.trouble else "refused", f"{why}: {sight.trouble}")
    still = sight.now - max(sight.moved_at, sight.busy_since)
    if sight.busy and still > seconds + answer_seconds:
        return Verdict(
            "stalled", f"{sight.busy} jobs are in hand, and nothing came of any for {still:.0f} s"
        )
    still = sight.now - max(sight.received_at, sight.idle_since)
    if sight.ready and still > seconds:
        return Verdict(
            "stalled",
            f"{sight.ready} messages wait, slots are free, and none came for {still:.0f} s",
        )
    return Verdict("fine")
