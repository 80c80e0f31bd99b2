"""The AppJWT: shared by the pool, renewed in time, by one at a time, and calmly."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.liveperson.answer import MAX_RETRY_AFTER_SECONDS, Answer, Kind
from tasks.liveperson.app_tokens import (
    CALM_SECONDS,
    IN_A_ROW_SECONDS,
    PAUSE_SECONDS,
    AppTokens,
    Sentinel,
)
from tasks.liveperson.tokens import TokenFailure
from tests.fakes import InMemoryTokenStore
from tests.unit.liveperson.scripted import ACCOUNT, Clock, jwt

HOUR = 3600.0
REFUSED = Answer(kind=Kind.CREDENTIALS, http_status=401, message="invalid_client")
AWAY = Answer(kind=Kind.NOT_SENT, http_status=503, message="HTTP 503")


class FakeSentinel(Sentinel):
    """Issues tokens that differ, or fails as it is told."""

    def __init__(self, clock: Clock, *, lifetime: float | None = HOUR) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self.failures: list[Answer] = []
        self.asked = 0

    def ask(self) -> str:
        self.asked += 1
        if self.failures:
            raise TokenFailure(self.failures.pop(0))
        if self.lifetime is None:
            return f"opaque-{self.asked}"
        issued = self.clock.now
        return jwt(iat=issued, exp=issued + self.lifetime, jti=self.asked)


class Pool:
    """Workers of one account: each has its own AppTokens, they share store and sentinel."""

    def __init__(self, *, lifetime: float | None = HOUR) -> None:
        self.clock = Clock()
        self.sentinel = FakeSentinel(self.clock, lifetime=lifetime)
        self.store: InMemoryTokenStore = InMemoryTokenStore(self.clock)

    def worker(self, *, clock_offset: float = 0.0) -> AppTokens:
        def clock() -> float:
            return self.clock.now + clock_offset

        return AppTokens(
            self.sentinel, self.store, account_id=ACCOUNT, clock=clock, sleep=self.sleep
        )

    def sleep(self, seconds: float) -> None:
        self.clock.now += seconds


def together(count: int, function: Callable[[], str]) -> list[str]:
    barrier = threading.Barrier(count)

    def one(_number: int) -> str:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_a_token_is_asked_for_once() -> None:
    """Neither this worker nor another one asks again while it is good."""
    pool = Pool()
    first = pool.worker()
    token = first.get()
    assert [first.get(), pool.worker().get()] == [token, token]
    assert pool.sentinel.asked == 1


def test_twenty_threads_ask_sentinel_once() -> None:
    """A start under load is no burst of logins."""
    pool = Pool()
    assert len(set(together(20, pool.worker().get))) == 1
    assert pool.sentinel.asked == 1


class CountingStore(InMemoryTokenStore):
    """Counts how often a token was looked for."""

    def __init__(self, clock: Clock, expected: int = 0) -> None:
        super().__init__(clock)
        self.reads = 0
        self.expected = expected
        self.reached = threading.Event()

    def get_app_token(self, account_id: str) -> tuple[str, float] | None:
        self.reads += 1
        if self.reads >= self.expected:
            self.reached.set()
        return super().get_app_token(account_id)


def test_twenty_workers_ask_sentinel_once() -> None:
    """The same holds over processes, through the store."""
    pool = Pool()
    # Each looks once before it waits for the lock, and the one that gets it looks again.
    store = pool.store = CountingStore(pool.clock, expected=20 + 1)
    workers = [pool.worker() for _ in range(20)]
    ask = pool.sentinel.ask

    def when_all_wait() -> str:
        assert store.reached.wait(10)
        return ask()

    pool.sentinel.ask = when_all_wait  # type: ignore[method-assign]  # the same answer, held back
    assert len(set(together(20, lambda: workers.pop().get()))) == 1
    assert pool.sentinel.asked == 1


def test_a_token_is_renewed_five_minutes_before_its_end() -> None:
    """As LivePerson's guide advises."""
    pool = Pool()
    worker = pool.worker()
    token = worker.get()
    pool.clock.now += HOUR - 301
    assert worker.get() == token
    pool.clock.now += 1
    assert worker.get() != token
    assert pool.sentinel.asked == 2


def test_a_short_token_is_used_for_half_its_life() -> None:
    """Five minutes before the end of a short token would be before its beginning."""
    pool = Pool(lifetime=20)
    worker = pool.worker()
    token = worker.get()
    pool.clock.now += 9
    assert worker.get() == token
    pool.clock.now += 1
    assert worker.get() != token


def test_a_token_that_does_not_say_when_it_ends_is_kept_for_the_documented_hour() -> None:
    """Other workers look into the store every minute, where it ends with the hour."""
    pool = Pool(lifetime=None)
    first, second = pool.worker(), pool.worker()
    token = first.get()
    pool.clock.now += HOUR - 301
    assert [first.get(), second.get()] == [token, token]
    pool.clock.now += 301
    assert second.get() != token


@pytest.mark.parametrize("offset", [-2 * HOUR, 2 * HOUR])
def test_a_wrong_clock_does_not_spoil_a_new_token(offset: float) -> None:
    """How long a token lasts is counted from its arrival, here or in the store."""
    pool = Pool()
    worker = pool.worker(clock_offset=offset)
    token = worker.get()
    assert worker.get() == token
    pool.clock.now += HOUR - 301
    assert [worker.get(), pool.worker(clock_offset=-offset).get()] == [token, token]
    assert pool.sentinel.asked == 1
    pool.clock.now += 1
    assert pool.worker(clock_offset=-offset).get() != token


def test_while_one_thread_renews_the_others_go_on_with_the_old_token() -> None:
    """A slow sentinel holds up nobody while the token still lasts."""
    pool = Pool()
    worker = pool.worker()
    token = worker.get()
    pool.clock.now += HOUR - 200
    renewing, finish = threading.Event(), threading.Event()
    ask = pool.sentinel.ask

    def slow() -> str:
        renewing.set()
        assert finish.wait(10)
        return ask()

    pool.sentinel.ask = slow  # type: ignore[method-assign]  # the same answer, held back
    with ThreadPoolExecutor(1) as other:
        renewed = other.submit(worker.get)
        assert renewing.wait(10)
        assert worker.get() == token
        finish.set()
        assert renewed.result() != token


@pytest.mark.parametrize("answer", [REFUSED, AWAY])
def test_a_token_that_cannot_be_renewed_is_used_to_its_end(answer: Answer) -> None:
    """The five minutes are there to get over trouble at sentinel."""
    pool = Pool()
    worker = pool.worker()
    token = worker.get()
    pool.clock.now += HOUR - 200
    pool.sentinel.failures = [answer]
    assert worker.get() == token
    assert pool.worker().get() == token
    pool.clock.now += 200
    assert worker.get() != token


def test_while_a_token_cannot_be_renewed_the_store_is_left_in_peace() -> None:
    """Every few seconds is often enough to try again."""
    pool = Pool()
    store = pool.store = CountingStore(pool.clock)
    worker = pool.worker()
    token = worker.get()
    pool.clock.now += HOUR - 200
    pool.sentinel.failures = [AWAY] * 2
    assert worker.get() == token
    reads = store.reads
    assert [worker.get() for _ in range(10)] == [token] * 10
    assert store.reads == reads
    pool.clock.now += PAUSE_SECONDS
    assert worker.get() == token
    assert store.reads > reads
    assert pool.sentinel.asked == 3


def test_a_refused_token_is_renewed_once_for_all() -> None:
    """Twenty threads that were refused the same token ask for one new one."""
    pool = Pool()
    worker = pool.worker()
    token = worker.get()

    def renew() -> str:
        worker.invalidate(token)
        return worker.get()

    renewed = together(20, renew)
    assert len(set(renewed)) == 1
    assert token not in renewed
    assert pool.sentinel.asked == 2


def test_a_late_refusal_does_not_drop_the_new_token() -> None:
    """A worker that was refused the old token finds the new one in the store."""
    pool = Pool()
    first, second = pool.worker(), pool.worker()
    old = first.get()
    assert second.get() == old
    first.invalidate(old)
    new = first.get()
    second.invalidate(old)
    assert [first.get(), second.get(), pool.worker().get()] == [new, new, new]
    assert pool.sentinel.asked == 2


def test_token_calls_of_the_pool_keep_a_distance() -> None:
    """Tokens that are refused as fast as they come do not become a storm of logins."""
    pool = Pool()
    began = pool.clock.now
    for _ in range(10):
        worker = pool.worker()
        worker.invalidate(worker.get())
    assert pool.sentinel.asked == 10
    assert pool.clock.now - began == pytest.approx(9 * CALM_SECONDS)


def test_the_second_refused_token_in_a_row_calms_the_pool() -> None:
    """One is renewed at once; after that a new one is to be had every five seconds."""
    pool = Pool()
    worker = pool.worker()
    assert not worker.invalidate(worker.get())
    assert worker.invalidate(worker.get())
    worker.invalidate(worker.get())
    for one in (worker, pool.worker()):
        with pytest.raises(TokenFailure) as caught:
            one.get()
        assert caught.value.answer.kind is Kind.THROTTLED
        assert caught.value.answer.retry_after == PAUSE_SECONDS
    pool.clock.now += IN_A_ROW_SECONDS
    assert not worker.invalidate(worker.get())


def test_a_token_that_was_accepted_ends_the_row() -> None:
    """What is refused now and then costs the pool no more than a second each time."""
    worker = Pool().worker()
    for _ in range(3):
        assert not worker.invalidate(worker.get())
        worker.accepted()


def test_a_failure_is_told_to_every_job_and_asked_for_once() -> None:
    """Wrong credentials are wrong for all jobs, and sentinel hears of them once in a while."""
    pool = Pool()
    worker = pool.worker()
    pool.sentinel.failures = [REFUSED]
    for left in (None, PAUSE_SECONDS, PAUSE_SECONDS):
        with pytest.raises(TokenFailure, match="invalid_client") as caught:
            worker.get()
        assert caught.value.answer.kind is Kind.CREDENTIALS
        assert caught.value.answer.retry_after == left
    assert pool.sentinel.asked == 1
    pool.clock.now += PAUSE_SECONDS
    assert worker.get()


def test_after_a_failure_the_whole_pool_waits() -> None:
    """Another worker learns the reason, and how long it is to wait."""
    pool = Pool()
    pool.sentinel.failures = [AWAY]
    with pytest.raises(TokenFailure, match="503"):
        pool.worker().get()
    with pytest.raises(TokenFailure, match="503") as caught:
        pool.worker().get()
    assert caught.value.answer.kind is AWAY.kind
    assert caught.value.answer.retry_after == PAUSE_SECONDS
    assert pool.sentinel.asked == 1


@pytest.mark.parametrize(
    ("asked_for", "paused"),
    [
        (None, PAUSE_SECONDS),
        (1.0, PAUSE_SECONDS),
        (30.0, 30.0),
        (86400.0, MAX_RETRY_AFTER_SECONDS),
    ],
)
def test_a_throttled_login_pauses_at_least_five_seconds(
    asked_for: float | None, paused: float
) -> None:
    """LivePerson asks for 5 s after a 429 of a login; Retry-After counts, within bounds."""
    pool = Pool()
    pool.sentinel.failures = [Answer(kind=Kind.THROTTLED, http_status=429, retry_after=asked_for)]
    with pytest.raises(TokenFailure):
        pool.worker().get()
    assert pool.store.token_pause(ACCOUNT)[0] == paused


def test_a_worker_that_waits_in_vain_for_another_one_says_so() -> None:
    """Its job is tried again a little later."""
    pool = Pool()
    pool.store.lock_seconds = 0.01
    with pool.store.lock_refresh(ACCOUNT), pytest.raises(TokenFailure, match="another") as caught:
        pool.worker().get()
    assert caught.value.answer.kind is Kind.NOT_SENT
    assert caught.value.answer.retry_after == 1.0
    assert pool.sentinel.asked == 0


def test_without_the_store_there_is_no_token() -> None:
    """The store's own error passes through: the worker fails closed."""

    class NoStore(InMemoryTokenStore):
        def get_app_token(self, account_id: str) -> tuple[str, float] | None:
            raise ConnectionError(account_id)

    pool = Pool()
    pool.store = NoStore(pool.clock)
    with pytest.raises(ConnectionError):
        pool.worker().get()
    assert pool.sentinel.asked == 0
