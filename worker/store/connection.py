"""The store: one Redis or Valkey server that holds the ledger, the limits and the shared tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import RedisError
from redis.retry import Retry

from config.server_urls import for_redis_py

SCRIPTS: Final = Path(__file__).parent / "lua"
# The limiter's scripts, which come before those that use it.
LIMITER: Final = ("clock", "account", "circuit", "limit")

# The scripts count in these.
MILLISECONDS: Final = 1000

# A store that does not answer within this many seconds counts as away; nothing is sent then.
ANSWER_SECONDS: Final = 5.0
# How often an idle connection is tried before it is trusted, in seconds.
HEALTH_SECONDS: Final = 15


StoreError = RedisError


def connect(url: str, *, connections: int = 64) -> Redis:
    """Return a client of the store; it connects at its first use.

    Valkey's URL schemes are read as Redis's. A call is never repeated by the client itself: its
    caller knows whether that is safe.
    """
    known = for_redis_py(url)
    # A socket of the file system has no connection that could be kept alive.
    over_network = {} if known.startswith("unix:") else {"socket_keepalive": True}
    return Redis.from_url(
        known,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        **over_network,
        health_check_interval=HEALTH_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=connections,
    )


def script(store: Redis, *names: str) -> Script:
    """Return the Lua scripts of these names as one, ready to be called."""
    text = "\n".join((SCRIPTS / f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return store.register_script(text)


def text(value: Any) -> str:
    """Decode what the store answered; an absent value is empty."""
    return value.decode() if isinstance(value, bytes) else str(value or "")


class Keys:
    """The names of everything an account has in the store.

    The account stands in braces, so that a cluster keeps what one script touches on one node.
    """

    def __init__(self, account_id: str) -> None:
        self._prefix = f"overture:{{{account_id}}}:"
        self.limit = f"{self._prefix}limit"
        self.in_flight = f"{self._prefix}in-flight"
        self.counts = f"{self._prefix}counts"
        self.app_token = f"{self._prefix}app-token"
        self.token_lock = f"{self._prefix}token-lock"
        self.token_pause = f"{self._prefix}token-pause"

    def job(self, job_id: str) -> str:
        """Name the ledger's record of a job."""
        return f"{self._prefix}job:{job_id}"

    def conversation(self, conversation_id: str) -> str:
        """Name the note of the job that a conversation was opened for."""
        return f"{self._prefix}conversation:{conversation_id}"

    def consumer(self, consumer_id: str) -> str:
        """Name the lock that lets one job at a time open a conversation for a consumer."""
        return f"{self._prefix}consumer:{consumer_id}"


def account_of(key: str) -> str:
    """Return the account whose key this is."""
    return key.partition("{")[2].partition("}")[0]
