"""What the log says of a hold, whatever order the threads come in."""

from __future__ import annotations

import time

from structlog.testing import capture_logs

from tasks.account import Hold


def test_a_permit_from_before_the_hold_does_not_end_it() -> None:
    """A thread that was let go earlier may be late to say so."""
    hold = Hold()
    early = time.monotonic()
    with capture_logs() as said:
        hold.begins("circuit", cause="HTTP 403", seconds=5, asked=time.monotonic())
        hold.ends(asked=early)
        hold.begins("circuit", cause="HTTP 403", seconds=5, asked=time.monotonic())
        hold.ends(asked=time.monotonic())
    assert [entry["event"] for entry in said] == ["account.held", "account.released"]
