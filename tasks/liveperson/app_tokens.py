"""AppJWTs: one per account, shared by the whole pool, renewed by one worker at a time.

Sources: Connector API, "Authorization and authentication" (valid for an hour); the Connector guide
(renew five minutes before the end); LivePerson's retry policy (5 s between token calls after 429).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import quote, quote_plus, urlencode

from tasks.liveperson import reading
from tasks.liveperson.answer import MAX_RETRY_AFTER_SECONDS, Answer, Kind, no_answer, refusal
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.domains import Services
from tasks.liveperson.http import FateUnknown, NotSent
from tasks.liveperson.tokens import LIFETIME_SECONDS, TokenFailure, token_in, validity

RENEW_BEFORE_SECONDS = 300.0
# The least time between two token calls of the whole pool.
CALM_SECONDS = 1.0
# Two tokens refused within this time count as refused in a row: then the credentials may be wrong.
IN_A_ROW_SECONDS = 60.0
# The pause after a failed token call, and after a second refused token in a row; LivePerson asks
# for 5 s after a 429.
PAUSE_SECONDS = 5.0
# When to retry while another worker is fetching the token.
ELSEWHERE_SECONDS = 1.0


class TokenStore(Protocol):
    """Where the pool keeps one AppJWT per account; times are in seconds.

    Its errors are not caught here: without the store nothing is sent.
    """

    def get_app_token(self, account_id: str) -> tuple[str, float] | None:
        """Return the token, if there is one, and how long it will be kept."""

    def put_app_token(self, account_id: str, token: str, *, ttl_seconds: float) -> None:
        """Keep a token for `ttl_seconds`."""

    def drop_app_token(self, account_id: str, token: str) -> None:
        """Delete the token, if it is still this one."""

    def lock_refresh(self, account_id: str) -> AbstractContextManager[bool]:
        """Lock the token call for one worker; False if the lock was not free in time."""

    def token_pause(self, account_id: str) -> tuple[float, str]:
        """Return how long the pool has to wait before its next token call, and why."""

    def pause_tokens(self, account_id: str, seconds: float, why: str = "") -> None:
        """Forbid token calls to the whole pool for `seconds`."""


@dataclass(frozen=True, slots=True, repr=False)
class _Held:
    """A token and its times, on this process's monotonic clock."""

    token: str
    renew_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Failed:
    answer: Answer
    since: float
    until: float


class AppTokens:
    """Gives the AppJWT of one account; threads share one."""

    def __init__(
        self,
        sentinel: Sentinel,
        store: TokenStore,
        *,
        account_id: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sentinel = sentinel
        self._store = store
        self._account_id = account_id
        self._clock = clock
        self._sleep = sleep
        self._held: _Held | None = None
        self._failed: _Failed | None = None
        self._refused_at = -IN_A_ROW_SECONDS
        self._row = 0
        self._lock = threading.Lock()

    def get(self) -> str:
        """Return a valid token; raises TokenFailure.

        If a token is due for renewal but still valid, one thread renews it while the others use it.
        If renewing fails, all of them use it.
        """
        held, now = self._held, self._clock()
        if held and now < held.expires_at:
            if now < held.renew_at or not self._lock.acquire(blocking=False):
                return held.token
        else:
            self._lock.acquire()
        try:
            self._held = held = self._renewed()
        finally:
            self._lock.release()
        return held.token

    def invalidate(self, token: str) -> bool:
        """Drop a token that was refused, unless it has been replaced already.

        Returns whether several were refused in a row: then another token will not help.
        """
        held, now = self._held, self._clock()
        if held and held.token == token:
            self._held = None
            self._row = self._row + 1 if now - self._refused_at < IN_A_ROW_SECONDS else 1
            self._refused_at = now
        self._store.drop_app_token(self._account_id, token)
        return self._row > 1

    def accepted(self) -> None:
        """Note that a token was accepted, which ends a row of refused ones."""
        self._row = 0

    def _renewed(self) -> _Held:
        held = self._held
        if held and self._clock() < held.renew_at:
            return held  # another thread fetched it while this one waited
        stored = self._stored()
        if stored and self._clock() < stored.renew_at:
            return stored
        try:
            with self._store.lock_refresh(self._account_id) as is_ours:
                stored = self._stored()
                if stored and self._clock() < stored.renew_at:
                    return stored  # another worker fetched it while this one waited
                return self._asked(is_ours=is_ours)
        except TokenFailure:
            for old in (stored, held):
                if old and (now := self._clock()) < old.expires_at:
                    return replace(old, renew_at=min(now + PAUSE_SECONDS, old.expires_at))
            raise

    def _stored(self) -> _Held | None:
        kept = self._store.get_app_token(self._account_id)
        return self._hold(kept[0], left=kept[1]) if kept else None

    def _hold(self, token: str, *, left: float) -> _Held:
        """Turn the seconds left of a token into times of our own clock.

        They are limited to the token's lifetime: the store's clock may have been set.
        """
        lifetime = _lifetime(token)
        end = self._clock() + min(left, lifetime)
        return _Held(token, renew_at=end - _margin(lifetime), expires_at=end)

    def _asked(self, *, is_ours: bool) -> _Held:
        self._wait_for_calm(is_ours=is_ours)
        try:
            token = self._sentinel.ask()
        except TokenFailure as failure:
            self._pause_after(failure.answer)
            raise
        self._store.put_app_token(self._account_id, token, ttl_seconds=_lifetime(token))
        in_a_row = self._row > 1 and self._clock() - self._refused_at < IN_A_ROW_SECONDS
        self._store.pause_tokens(self._account_id, PAUSE_SECONDS if in_a_row else CALM_SECONDS)
        return self._hold(token, left=_lifetime(token))

    def _wait_for_calm(self, *, is_ours: bool) -> None:
        """Wait out a short pause; raise TokenFailure for a long one, or if another worker asks.

        While the pause after a failure lasts, the same failure is raised again, so that every job
        has the true reason.
        """
        failed, now = self._failed, self._clock()
        if failed and failed.since <= now < failed.until:
            raise TokenFailure(replace(failed.answer, retry_after=failed.until - now))
        pause, why = self._store.token_pause(self._account_id)
        if why:
            # Another worker's failure, which applies here, too.
            raise TokenFailure(replace(_read_answer(why), retry_after=pause))
        if not is_ours:
            message = "sentinel: another worker is asking for the AppJWT"
            raise TokenFailure(
                Answer(
                    kind=Kind.NOT_SENT,
                    message=message,
                    cause=message,
                    retry_after=ELSEWHERE_SECONDS,
                )
            )
        if pause > CALM_SECONDS:
            message = f"sentinel: the pool will not ask for an AppJWT for the next {pause:.1f} s"
            raise TokenFailure(
                Answer(kind=Kind.THROTTLED, message=message, cause=message, retry_after=pause)
            )
        if pause > 0:
            self._sleep(pause)

    def _pause_after(self, answer: Answer) -> None:
        pause = min(max(PAUSE_SECONDS, answer.retry_after or 0), MAX_RETRY_AFTER_SECONDS)
        self._store.pause_tokens(self._account_id, pause, _write_answer(answer))
        now = self._clock()
        self._failed = _Failed(answer, since=now, until=now + pause)


def _lifetime(token: str) -> float:
    """Return a token's lifetime, counted from when it was issued."""
    said = validity(token)
    return said[1] - said[0] if said else LIFETIME_SECONDS


def _write_answer(answer: Answer) -> str:
    return json.dumps([answer.kind, answer.http_status, answer.message, answer.cause])


def _read_answer(written: str) -> Answer:
    kind, status, message, cause = json.loads(written)
    return Answer(kind=Kind(kind), http_status=status, message=message, cause=cause)


def _margin(lifetime: float) -> float:
    return min(RENEW_BEFORE_SECONDS, lifetime / 2)


_SERVICE = "sentinel"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# All of these blame the credentials, the only content of the call; 451: LivePerson blocked the
# account.
_CREDENTIALS = frozenset({400, 401, 403, 451})


class Sentinel:
    """Fetches AppJWTs of one account; threads share one."""

    def __init__(self, services: Services, *, account_id: str, credentials: Credentials) -> None:
        self._services = services
        account = quote(account_id, safe="")
        self._path = (
            f"/sentinel/api/account/{account}/app/token?v=1.0&grant_type=client_credentials"
        )
        self._credentials = credentials

    def ask(self) -> str:
        """Return a new AppJWT; raises TokenFailure."""
        answer = self._answer()
        if isinstance(answer, Answer):
            # Raised here, so that no frame of the traceback has the secret as a variable.
            raise TokenFailure(answer)
        return answer

    def _answer(self) -> str | Answer:
        self._credentials.read_again()
        client_id, secret = self._credentials.client_id, self._credentials.secret()
        form = urlencode({"client_id": client_id, "client_secret": secret}).encode("ascii")
        try:
            response = self._services.call(_SERVICE, "POST", self._path, headers=_FORM, body=form)
        except (NotSent, FateUnknown) as error:
            answer = no_answer(self._services.place(_SERVICE), error)
        else:
            token = token_in(response, "access_token") if response.status == 200 else None
            if token:
                return token
            place = self._services.place(_SERVICE)
            answer = refusal(place, response, credentials=_CREDENTIALS)
        message = reading.printable(answer.message, secret, quote_plus(secret))
        return replace(answer, message=message)
