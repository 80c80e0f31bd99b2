"""What the pool's token store promises, on the real one and on the one that tests use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from redis import Redis

from tasks.liveperson.app_tokens import TokenStore
from tasks.store.connection import Keys, connect
from tasks.store.pulse import GONE_SECONDS, Pulse
from tasks.store.tokens import SharedTokens
from tests.fakes import InMemoryTokenStore
from tests.memory_store import memory_store
from tests.redis_server import RedisServer
from tests.store_contents import everything_in
from tests.waiting import wait_until

ACCOUNT = "12345678"
OTHER = "87654321"
# A JWT as LivePerson gives it.
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJPcmNhIn0.c2lnbmF0dXJl"


class Account:
    """An account's client secret, and the one that its file holds by now."""

    def __init__(self, secret: str) -> None:
        self.used = self.in_file = secret

    def secret(self) -> str:
        return self.used

    def read_again(self) -> None:
        self.used = self.in_file


def secrets(secret: str = "s3cr3t") -> dict[str, Account]:
    """Give the secrets of a worker; two accounts may well have the same."""
    return {ACCOUNT: Account(secret), OTHER: Account(secret)}


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
            yield SharedTokens(client, pulse, secrets=secrets(), refresh_seconds=20)
        return
    server: RedisServer = request.getfixturevalue("valkey")
    with server.client() as client:
        client.flushall()
    with connect(server.url) as client, living(client) as pulse:
        yield SharedTokens(client, pulse, secrets=secrets(), refresh_seconds=20)


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
        tokens = SharedTokens(client, pulse, secrets=secrets(), refresh_seconds=60)
        started = time.monotonic()
        with tokens.lock_refresh(ACCOUNT) as is_ours:
            assert is_ours
        assert time.monotonic() - started < GONE_SECONDS


def test_a_slow_worker_is_waited_for(valkey: RedisServer) -> None:
    """It lives: nobody asks beside it, until the time for asking is over."""
    with connect(valkey.url) as client, living(client) as slow, living(client) as pulse:
        client.set(Keys(ACCOUNT).token_lock, slow.owner(), px=500)
        tokens = SharedTokens(client, pulse, secrets=secrets(), refresh_seconds=60)
        with tokens.lock_refresh(ACCOUNT) as is_ours:
            assert not is_ours
        assert not client.exists(Keys(ACCOUNT).token_lock)


# As they lie there


@pytest.fixture(params=["valkey", pytest.param("memory", marks=pytest.mark.fast)])
def server(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """Give a client of an empty store."""
    if request.param == "memory":
        with memory_store() as client:
            yield client
        return
    valkey: RedisServer = request.getfixturevalue("valkey")
    with valkey.client() as client:
        client.flushall()
        yield client


def shared(client: Redis, secret: str = "s3cr3t") -> SharedTokens:
    """Give what one worker has; it never renews here, so it need not live."""
    return SharedTokens(client, Pulse(client), secrets=secrets(secret), refresh_seconds=20)


def test_nothing_of_a_token_can_be_read_in_the_store(server: Redis) -> None:
    """Neither as it is, nor a part of it; another worker of the account reads it."""
    shared(server).put_app_token(ACCOUNT, JWT, ttl_seconds=60)
    said = "".join(everything_in(server))
    assert Keys(ACCOUNT).app_token in said
    assert not any(part in said for part in (*JWT.split("."), "s3cr3t", "RS256", "Orca"))
    assert token(shared(server)) == JWT


def test_a_token_is_never_kept_twice_alike(server: Redis) -> None:
    """So nobody sees whether it was renewed."""
    tokens = shared(server)
    tokens.put_app_token(ACCOUNT, JWT, ttl_seconds=60)
    first = server.get(Keys(ACCOUNT).app_token)
    tokens.put_app_token(ACCOUNT, JWT, ttl_seconds=60)
    assert server.get(Keys(ACCOUNT).app_token) != first


def test_a_token_of_another_secret_is_none(server: Redis) -> None:
    """It is renewed as one that has ended; until then who has its secret still has it."""
    shared(server, "old").put_app_token(ACCOUNT, JWT, ttl_seconds=60)
    assert token(shared(server, "new")) is None
    assert token(shared(server, "old")) == JWT
    shared(server, "new").drop_app_token(ACCOUNT, JWT)
    assert token(shared(server, "old")) == JWT


def test_a_secret_that_was_changed_is_read_again(server: Redis) -> None:
    """A worker that has yet to hear of it gets the token that another got with it."""
    tokens = shared(server, "old")
    accounts = cast("dict[str, Account]", tokens._secrets)
    accounts[ACCOUNT].in_file = "new"
    shared(server, "new").put_app_token(ACCOUNT, JWT, ttl_seconds=60)
    assert token(tokens) == JWT
    assert accounts[ACCOUNT].used == "new"


def test_a_token_is_that_of_no_other_account(server: Redis) -> None:
    """Not even if somebody who writes to the store puts it there, and the secret is the same."""
    tokens = shared(server)
    tokens.put_app_token(ACCOUNT, JWT, ttl_seconds=60)
    kept = cast("bytes", server.get(Keys(ACCOUNT).app_token))
    server.set(Keys(OTHER).app_token, kept, px=60_000)
    assert tokens.get_app_token(OTHER) is None


@pytest.mark.parametrize("left", [JWT, "x", "sealed-1:", "sealed-1:%", "sealed-1:AAAA", "\x00"])
def test_what_was_not_sealed_is_no_token(server: Redis, left: str) -> None:
    """An earlier version's is not believed, and does not stay there in the clear."""
    server.set(Keys(ACCOUNT).app_token, left, px=60_000)
    tokens = shared(server)
    assert token(tokens) is None
    assert JWT not in "".join(everything_in(server))
    tokens.put_app_token(ACCOUNT, JWT, ttl_seconds=60)
    assert token(tokens) == JWT


@pytest.mark.parametrize("at", range(0, 80, 7))
def test_a_token_that_was_tampered_with_is_none(server: Redis, at: int) -> None:
    """Whatever was changed of it."""
    tokens = shared(server)
    tokens.put_app_token(ACCOUNT, JWT, ttl_seconds=60)
    kept = bytearray(cast("bytes", server.get(Keys(ACCOUNT).app_token)))
    kept[at] ^= 1
    server.set(Keys(ACCOUNT).app_token, bytes(kept), px=60_000)
    assert token(tokens) is None
