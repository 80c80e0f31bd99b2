"""What the pool's token store promises, on the real one and on the one that tests use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from tasks.liveperson.app_tokens import TokenStore
from tasks.store.connection import Keys, connect
from tasks.store.pulse import GONE_SECONDS, Pulse
from tasks.store.tokens import SharedTokens
from tests.fakes import InMemoryTokenStore
from tests.memory_store import memory_store
from tests.redis_server import RedisServer
from tests.waiting import wait_until

ACCOUNT = "12345678"
OTHER = "87654321"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


FAKES = [pytest.param(name, marks=pytest.mark.fast) for name in ("process", "memory")]


@pytest.fixture(params=["valkey", *FAKES])
def store(request: pytest.FixtureRequest) -> Iterator[TokenStore]:
    if request.param == "process":
        yield InMemoryTokenStore()
        return
    if request.param == "memory":
        with memory_store() as client, living(client) as pulse:
            yield SharedTokens(client, pulse, refresh_seconds=20)
        return
    server: RedisServer = request.getfixturevalue("valkey")
    with server.client() as client:
        client.flushall()
    with connect(server.url) as client, living(client) as pulse:
        yield SharedTokens(client, pulse, refresh_seconds=20)


@contextmanager
def living(client: Redis) -> Iterator[Pulse]:
    """Give a worker that shows itself."""
    pulse = Pulse(client)
    pulse.start()
    try:
        wait_until(pulse.is_shown, "it shows itself")
        yield pulse
    finally:
        pulse.stop(seconds=5)


def token(store: TokenStore) -> str | None:
    """Return the token that is kept."""
    kept = store.get_app_token(ACCOUNT)
    return kept[0] if kept else None


def test_a_token_is_kept_for_its_account(store: TokenStore) -> None:
    """Neither more nor less; a newer one takes its place."""
    assert store.get_app_token(ACCOUNT) is None
    store.put_app_token(ACCOUNT, "a.b.c", ttl_seconds=60)
    store.put_app_token(ACCOUNT, "d.e.f", ttl_seconds=60)
    kept = store.get_app_token(ACCOUNT)
    assert kept is not None
    assert kept[0] == "d.e.f"
    assert 55 < kept[1] <= 60
    assert store.get_app_token(OTHER) is None


def test_a_token_ends_with_its_time(store: TokenStore) -> None:
    """Times of less than a second count too."""
    store.put_app_token(ACCOUNT, "a.b.c", ttl_seconds=0.05)
    wait_until(lambda: store.get_app_token(ACCOUNT) is None, "the token is gone")


def test_only_the_token_that_was_refused_is_dropped(store: TokenStore) -> None:
    """A late refusal of the old one leaves the new one."""
    store.put_app_token(ACCOUNT, "new", ttl_seconds=60)
    store.drop_app_token(ACCOUNT, "old")
    assert token(store) == "new"
    store.drop_app_token(ACCOUNT, "new")
    store.drop_app_token(ACCOUNT, "new")
    assert store.get_app_token(ACCOUNT) is None


def test_one_refreshes_while_the_others_wait(store: TokenStore) -> None:
    """Who waited is told so, and finds what the other one stored."""
    waiting = threading.Event()
    found: list[tuple[bool, str | None]] = []

    def wait() -> None:
        waiting.set()
        with store.lock_refresh(ACCOUNT) as is_ours:
            found.append((is_ours, token(store)))

    with store.lock_refresh(ACCOUNT) as is_ours, store.lock_refresh(OTHER) as is_ours_too:
        assert (is_ours, is_ours_too) == (True, True)
        other = threading.Thread(target=wait)
        other.start()
        assert waiting.wait(10)
        store.put_app_token(ACCOUNT, "a.b.c", ttl_seconds=60)
    other.join(10)
    # Where the other thread came too late to wait, it holds the lock and finds the token as well.
    assert found in ([(False, "a.b.c")], [(True, "a.b.c")])
    with store.lock_refresh(ACCOUNT) as is_ours:
        assert is_ours


def test_the_lock_is_given_back_after_an_error(store: TokenStore) -> None:
    """A failed refresh does not keep the next one waiting."""
    with pytest.raises(LookupError), store.lock_refresh(ACCOUNT):
        raise LookupError
    with store.lock_refresh(ACCOUNT) as is_ours:
        assert is_ours


def test_a_pause_holds_for_its_time(store: TokenStore) -> None:
    """Seconds are told as they run down, for one account."""
    assert store.token_pause(ACCOUNT) == (0, "")
    store.pause_tokens(ACCOUNT, 30, "the reason")
    seconds, why = store.token_pause(ACCOUNT)
    assert 25 < seconds <= 30
    assert why == "the reason"
    assert store.token_pause(OTHER) == (0, "")
    store.pause_tokens(OTHER, 0.05)
    wait_until(lambda: store.token_pause(OTHER) == (0, ""), "the pause is over")


def test_a_shorter_pause_does_not_shorten_a_longer_one(store: TokenStore) -> None:
    """What LivePerson asked for stays."""
    store.pause_tokens(ACCOUNT, 30)
    store.pause_tokens(ACCOUNT, 1)
    assert store.token_pause(ACCOUNT)[0] > 25


def test_a_dead_worker_keeps_nobody_from_a_token(valkey: RedisServer) -> None:
    """It was killed while it asked: another asks as soon as its sign of life is gone."""
    with connect(valkey.url) as client, living(client) as pulse:
        client.set(Keys(ACCOUNT).token_lock, "1-dead/1", px=60_000)
        tokens = SharedTokens(client, pulse, refresh_seconds=60)
        started = time.monotonic()
        with tokens.lock_refresh(ACCOUNT) as is_ours:
            assert is_ours
        assert time.monotonic() - started < GONE_SECONDS


def test_a_slow_worker_is_waited_for(valkey: RedisServer) -> None:
    """It lives: nobody asks beside it, until the time for asking is over."""
    with connect(valkey.url) as client, living(client) as slow, living(client) as pulse:
        client.set(Keys(ACCOUNT).token_lock, slow.owner(), px=500)
        tokens = SharedTokens(client, pulse, refresh_seconds=60)
        with tokens.lock_refresh(ACCOUNT) as is_ours:
            assert not is_ours
        assert not client.exists(Keys(ACCOUNT).token_lock)
