"""AppJWTs in the store, encrypted: the pool shares one per account, and one worker renews it.

A ConsumerJWS is never stored: each process fetches its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

from redis import Redis

from tasks.store.connection import MILLISECONDS, Keys, ask, script, text
from tasks.store.pulse import Pulse
from tasks.store.sealing import is_sealed, seal, unseal

# How often a waiting worker checks whether the other one is done.
POLL_SECONDS: Final = 0.05
APP_JWT: Final = "AppJWT"


class Secret(Protocol):
    """An account's client secret, which all its workers have."""

    def secret(self) -> str:
        """Return the client secret in plain text."""

    def read_again(self) -> None:
        """Use what the settings contain now."""


class SharedTokens:
    """The pool's AppJWTs. Every method raises StoreError while the store is away."""

    def __init__(
        self,
        store: Redis,
        pulse: Pulse,
        *,
        secrets: Mapping[str, Secret],
        refresh_seconds: float,
    ) -> None:
        """Let a worker's lock to renew a token end after `refresh_seconds`, or when it is gone.

        `secrets` maps an account to the secret for its token.
        """
        self._secrets = secrets
        self._store = store
        self._pulse = pulse
        self._refresh_seconds = refresh_seconds
        self._drop_if_same = script(store, "drop_if_same")

    def get_app_token(self, account_id: str) -> tuple[str, float] | None:
        """Return the account's token, if there is one, and how many seconds it will be kept.

        A token that cannot be decrypted is ignored: the secret was changed, or an older version
        stored it in plain text.
        """
        name = Keys(account_id).app_token
        token = self._open(account_id, text(ask(self._store, "GET", name)))
        left = int(str(ask(self._store, "PTTL", name))) if token else 0
        return (token, left / MILLISECONDS) if token and left > 0 else None

    def put_app_token(self, account_id: str, token: str, *, ttl_seconds: float) -> None:
        """Keep a token for `ttl_seconds`."""
        milliseconds = max(1, int(ttl_seconds * MILLISECONDS))
        secret = self._secrets[account_id].secret()
        sealed = seal(token, secret=secret, account_id=account_id, kind=APP_JWT)
        self._store.set(Keys(account_id).app_token, sealed, px=milliseconds)

    def drop_app_token(self, account_id: str, token: str) -> None:
        """Delete the token, if it is still this one."""
        name = Keys(account_id).app_token
        kept = text(ask(self._store, "GET", name))
        if self._open(account_id, kept) == token:
            self._drop_if_same([name], [kept])

    def _open(self, account_id: str, kept: str) -> str | None:
        if not kept:
            return None
        secret = self._secrets[account_id]
        token = unseal(kept, secret=secret.secret(), account_id=account_id, kind=APP_JWT)
        if token is None:
            # Another worker may have used a new secret, which this one has not read yet.
            secret.read_again()
            token = unseal(kept, secret=secret.secret(), account_id=account_id, kind=APP_JWT)
        if token is None and not is_sealed(kept):
            # An older version stored it in plain text: delete it now.
            self._drop_if_same([Keys(account_id).app_token], [kept])
        return token

    @contextmanager
    def lock_refresh(self, account_id: str) -> Iterator[bool]:
        """Lock the token call for one worker; False for one that waited for another's."""
        name, mark = Keys(account_id).token_lock, self._pulse.owner()
        is_ours = self._takes(name, mark) or self._takes_over(name, mark)
        try:
            yield is_ours
        finally:
            if is_ours:
                self._drop_if_same([name], [mark])

    def _takes(self, name: str, mark: str) -> bool:
        milliseconds = int(self._refresh_seconds * MILLISECONDS)
        return bool(self._store.set(name, mark, px=milliseconds, nx=True))

    def _takes_over(self, name: str, mark: str) -> bool:
        """Wait for the lock's holder; take the lock only if that worker is gone."""
        self._left(name, int(self._refresh_seconds * MILLISECONDS))
        deadline = time.monotonic() + self._refresh_seconds
        while (holder := text(ask(self._store, "GET", name))) and time.monotonic() < deadline:
            if not self._pulse.is_alive(holder):
                self._drop_if_same([name], [holder])
                return self._takes(name, mark)
            time.sleep(POLL_SECONDS)
        return False

    def token_pause(self, account_id: str) -> tuple[float, str]:
        """Return how many seconds the pool may not ask for a token, and why."""
        name = Keys(account_id).token_pause
        asked, _, why = text(ask(self._store, "GET", name)).partition(" ")
        return (self._left(name, int(asked)) / MILLISECONDS, why) if asked else (0.0, "")

    def pause_tokens(self, account_id: str, seconds: float, why: str = "") -> None:
        """Forbid token calls to the pool for `seconds`; a longer pause stays."""
        if seconds > self.token_pause(account_id)[0]:
            milliseconds = max(1, int(seconds * MILLISECONDS))
            self._store.set(Keys(account_id).token_pause, f"{milliseconds} {why}", px=milliseconds)

    def _left(self, name: str, most: int) -> int:
        """Return how many milliseconds a key has left; corrects it if that is more than `most`.

        More means that the store's clock was set back.
        """
        left = max(0, int(str(ask(self._store, "PTTL", name))))
        if left > most:
            self._store.pexpire(name, most)
        return min(left, most)
