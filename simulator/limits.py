"""Rate limits and the cap on requests in flight."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of each account; `None` is no limit.

    `rate` and `token_rate` are calls per second, to CONVERSATION and to sentinel; `burst` is how
    many calls may come at once after a quiet time (default: one second's worth);
    `max_concurrent` counts CONVERSATION calls in flight; `retry_after` is in seconds.
    """

    rate: float | None = None
    burst: int | None = None
    max_concurrent: int | None = None
    token_rate: float | None = None
    retry_after: float | None = None


class TokenBucket:
    """A token bucket, as one number: the time at which it will be full again.

    Rate and size are arguments of `take`, so that they can change while it runs.
    """

    __slots__ = ("_full_at",)

    def __init__(self) -> None:
        self._full_at = 0.0

    def take(self, now: float, *, rate: float | None, burst: int | None = None) -> bool:
        """Take one token if there is one; `rate` is tokens per second, 0 lets nothing pass."""
        if rate is None:
            return True
        if rate <= 0:
            return False
        size = burst if burst is not None else max(1, round(rate))
        full_at = max(self._full_at, now) + 1 / rate
        # A tiny tolerance, so that rounding does not refuse callers at exactly the rate.
        if full_at - now > size / rate + 1e-9:
            return False
        self._full_at = full_at
        return True


class Gauge:
    """A number of requests in flight, and the highest it has been."""

    __slots__ = ("peak", "value")

    def __init__(self) -> None:
        self.value = 0
        self.peak = 0

    def enter(self) -> None:
        """Count one more."""
        self.value += 1
        self.peak = max(self.peak, self.value)

    def leave(self) -> None:
        """Count one fewer."""
        self.value -= 1
