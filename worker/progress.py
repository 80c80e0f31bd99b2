"""Progress: the only definition of when a worker has stalled.

A worker has stalled if jobs wait or are in hand, broker and store answer, and yet nothing has
happened for a minute. It has not if it waits for others: for a permit, for an answer of LivePerson
within its deadline, for a broker with an alarm, or for a server that is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

# No part of a healthy worker stands still for this long.
STALL_SECONDS: Final = 60.0
# `trouble` contains this while the broker itself says that it accepts no messages.
ALARM: Final = "alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a worker at one moment; times are of the monotonic clock, in seconds.

    `idle_since` (slots are free and messages wait), `busy_since` (jobs are in hand) and
    `unpublished_since` (messages are to be published) are `now` if that is not the case.
    """

    now: float
    turned_at: float
    """When the event loop last ran."""
    received_at: float
    """When a message last came."""
    moved_at: float
    """When a message was last settled, or a thread last got an answer."""
    confirmed_at: float
    """When the broker last confirmed anything."""
    idle_since: float
    busy_since: float
    unpublished_since: float
    ready: int
    """How many messages wait on the worker's queues."""
    busy: int
    """How many messages are in hand, without those whose outcome is to be published."""
    unpublished: int
    trouble: str
    """The publisher's text about what is wrong, or empty."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a worker makes progress, and why not.

    `stalled`: the worker itself stands still, and a restart helps. `refused`: the broker refuses
    what is published, and a restart would not help. `held`: the broker says that it accepts nothing
    now.
    """

    state: Literal["fine", "held", "refused", "stalled"]
    why: str = ""


def judge(seen: Snapshot, *, seconds: float = STALL_SECONDS, answer_seconds: float = 0) -> Verdict:
    """Judge a worker whose broker answers.

    `answer_seconds` is the longest time that a thread waits for an answer.
    """
    if (still := seen.now - seen.turned_at) > seconds:
        return Verdict("stalled", f"its event loop has not turned for {still:.0f} s")
    still = seen.now - max(seen.confirmed_at, seen.unpublished_since)
    if seen.unpublished and still > seconds:
        why = f"{seen.unpublished} messages are to be published, none confirmed for {still:.0f} s"
        if not seen.trouble:
            return Verdict("stalled", f"its publisher stands still: {why}")
        return Verdict("held" if ALARM in seen.trouble else "refused", f"{why}: {seen.trouble}")
    still = seen.now - max(seen.moved_at, seen.busy_since)
    if seen.busy and still > seconds + answer_seconds:
        return Verdict(
            "stalled", f"{seen.busy} jobs are in hand, and nothing came of any for {still:.0f} s"
        )
    still = seen.now - max(seen.received_at, seen.idle_since)
    if seen.ready and still > seconds:
        return Verdict(
            "stalled",
            f"{seen.ready} messages wait, slots are free, and none came for {still:.0f} s",
        )
    return Verdict("fine")
