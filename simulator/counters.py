"""Counts of an account: calls, faults, and each of the last seconds."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from simulator.endpoints import CONVERSATION
from simulator.limits import Gauge

KEPT_SECONDS = 600
THROTTLED = "429"


class Counters:
    """Everything counted for one account, each call exactly once."""

    __slots__ = ("calls", "faults", "hung_up", "in_flight", "seconds")

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.hung_up = 0
        self.in_flight = Gauge()
        self.seconds: dict[int, list[int]] = {}

    def count_call(self, endpoint: str, status: str, *, at: float) -> None:
        """Count one call that came at `at`, Unix seconds."""
        self.calls[endpoint, status] += 1
        if endpoint != CONVERSATION:
            return
        second = int(at)
        row = self.seconds.get(second)
        if row is None:
            row = self.seconds[second] = [0, 0]
            if len(self.seconds) > KEPT_SECONDS:
                del self.seconds[next(iter(self.seconds))]
        row[status == THROTTLED] += 1


def report(counters: Iterable[Counters], *, now: float) -> dict[str, Any]:
    """Return the sum of counters for the control API; of peaks, the highest."""
    calls: Counter[tuple[str, str]] = Counter()
    faults: Counter[str] = Counter()
    seconds: dict[int, list[int]] = {}
    hung_up = in_flight = peak = 0
    for one in counters:
        calls += one.calls
        faults += one.faults
        hung_up += one.hung_up
        in_flight += one.in_flight.value
        peak = max(peak, one.in_flight.peak)
        for second, (accepted, throttled) in one.seconds.items():
            row = seconds.setdefault(second, [0, 0])
            row[0] += accepted
            row[1] += throttled
    by_endpoint: dict[str, dict[str, int]] = {}
    for (endpoint, status), count in sorted(calls.items()):
        by_endpoint.setdefault(endpoint, {})[status] = count
    conversation = by_endpoint.get(CONVERSATION, {})
    asked = sum(conversation.values())
    return {
        "calls": by_endpoint,
        "throttledShare": conversation.get(THROTTLED, 0) / asked if asked else 0.0,
        "faults": dict(sorted(faults.items())),
        "hungUp": hung_up,
        "inFlight": in_flight,
        "maxConcurrent": peak,
        "perSecond": [
            {"second": second, "accepted": accepted, "throttled": throttled}
            for second, (accepted, throttled) in sorted(seconds.items())
            if second > now - KEPT_SECONDS
        ],
    }
