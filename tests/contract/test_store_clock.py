"""The store's clock is set an hour back or forward, on each kind of server: pulses and tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from tasks.store.connection import Keys, connect
from tasks.store.pulse import GONE_SECONDS, Pulse
from tasks.store.tokens import SharedTokens
from tests.jobs import ACCOUNT
from tests.redis_server import RedisServer
from tests.stepped_clock import SteppedClock
from tests.waiting import wait_until

HOUR_SECONDS = 3600
REFRESH_SECONDS = 1.0


@pytest.fixture
def store(stepped_server: RedisServer) -> Iterator[Redis]:
    """Give a client of a server whose clock can be set."""
    with connect(stepped_server.url) as client:
        yield client


@pytest.fixture
def pulses(store: Redis) -> Iterator[tuple[Pulse, Pulse]]:
    """Give two workers that show themselves."""
    one, other = Pulse(store), Pulse(store)
    one.start()
    other.start()
    wait_until(lambda: one.is_alive(other.owner()) and other.is_alive(one.owner()), "both live")
    yield one, other
    one.stop(seconds=5)
    other.stop(seconds=5)


@pytest.mark.parametrize("step", [-HOUR_SECONDS, HOUR_SECONDS], ids=["back", "forward"])
def test_a_live_worker_stays_alive(
    pulses: tuple[Pulse, Pulse], clock: SteppedClock, step: int
) -> None:
    """At no moment after the step is it taken for dead."""
    one, other = pulses
    clock.step(step)
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        assert one.is_alive(other.owner())
        time.sleep(0.01)


@pytest.mark.parametrize("step", [-HOUR_SECONDS, HOUR_SECONDS], ids=["back", "forward"])
def test_a_dead_worker_is_gone_in_its_time(
    store: Redis, pulses: tuple[Pulse, Pulse], clock: SteppedClock, step: int
) -> None:
    """Its sign of life outlives it by no hour."""
    dead = "1-dead"
    store.set(f"overture:worker:{dead}", 1, px=int(GONE_SECONDS * 1000))
    clock.step(step)
    one, _ = pulses
    wait_until(lambda: not one.is_alive(f"{dead}/1"), "it is gone", seconds=2 * GONE_SECONDS)


def test_a_pause_for_tokens_ends_in_its_time(
    store: Redis, pulses: tuple[Pulse, Pulse], clock: SteppedClock
) -> None:
    """It is never longer than it was when somebody asked for it."""
    tokens = SharedTokens(store, pulses[0], secrets={}, refresh_seconds=REFRESH_SECONDS)
    tokens.pause_tokens(ACCOUNT, 5)
    clock.step(-HOUR_SECONDS)
    assert 0 < tokens.token_pause(ACCOUNT)[0] <= 5


def test_a_hanging_renewal_ends_in_its_time(
    store: Redis, pulses: tuple[Pulse, Pulse], clock: SteppedClock
) -> None:
    """The next one renews the token; it does not wait an hour for one that is held up."""
    one, other = pulses
    store.set(Keys(ACCOUNT).token_lock, other.owner(), px=int(REFRESH_SECONDS * 1000))
    clock.step(-HOUR_SECONDS)
    tokens = SharedTokens(store, one, secrets={}, refresh_seconds=REFRESH_SECONDS)
    with tokens.lock_refresh(ACCOUNT) as is_ours:
        assert not is_ours

    def refreshes() -> bool:
        with tokens.lock_refresh(ACCOUNT) as is_ours:
            return is_ours

    wait_until(refreshes, "another may renew it", seconds=5)
