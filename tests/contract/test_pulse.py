"""The pulse on a real store: who is alive, and who is not any more."""

from __future__ import annotations

from redis import Redis

from tests.waiting import wait_until
from worker.store.pulse import Pulse


def test_a_worker_that_stops_is_gone_at_once(store: Redis) -> None:
    """When `stop` returns, others may take over what it held: they need not wait for it to fade."""
    for _ in range(20):
        stopping, other = Pulse(store), Pulse(store)
        stopping.start()
        wait_until(lambda: other.is_alive(stopping.owner()), "it shows itself")  # noqa: B023 - called at once
        stopping.stop(seconds=5)
        assert not other.is_alive(stopping.owner())
