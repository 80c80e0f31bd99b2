"""The store, which holds the ledger, the limits and the shared tokens: Redis or Valkey."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry

from config.redis_urls import cluster_of, cluster_url, sentinels_of
from config.urls import for_redis_py
from tasks.store.cluster import CONNECT_SECONDS, ClusterClient, drop_idle, server_of
from tasks.store.replies import NodeOfCluster, WrongServer
from tasks.store.sentinels import sentinel_pool

SCRIPTS: Final = Path(__file__).parent / "lua"
# The limiter's scripts, to be joined before those that use it.
LIMITER: Final = ("clock", "account", "circuit", "limit", "brake")
# Those of them that measure and learn.
RULES: Final = ("account", "limit")
RULES_LENGTH: Final = 8

# Seconds to the scripts' unit.
MILLISECONDS: Final = 1000

# How many bytes of the digest of a job's id are in its key.
KEY_BYTES: Final = 12
# How many of these are kept: a worker asks for that of each job in hand several times.
KEPT_NAMES: Final = 1024

# The timeout of the store's answers; without an answer nothing is sent to LivePerson.
ANSWER_SECONDS: Final = 5.0
# A connection that was idle this long is checked with a PING before it is used.
HEALTH_SECONDS: Final = 15


StoreError = RedisError

# No repeats by the client. After any error its connection is dropped, so that none in the pool
# leads to a demoted server.
DROP: Final = Retry(NoBackoff(), 0, supported_errors=(RedisError, OSError))


def connect(url: str, *, connections: int = 64) -> Redis:
    """Return a client of the store; it connects at its first use, to a cluster at once.

    Valkey's URL schemes are read as Redis's. The client never repeats a call: only its caller knows
    whether that is safe. It connects only to a primary, see `prepare`. A cluster's client has the
    same commands; only `tasks.store.cluster` knows the difference.
    """
    options: dict[str, Any] = {
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
        "health_check_interval": HEALTH_SECONDS,
        "max_connections": connections,
    }
    if cluster := cluster_of(url):
        options["socket_connect_timeout"] = CONNECT_SECONDS
        return cast("Redis", ClusterClient(cluster, socket_keepalive=True, **options))
    options |= {"retry": DROP, "redis_connect_func": prepare}
    known = for_redis_py(url)
    # A Unix socket has no TCP keepalive.
    if not known.startswith("unix:"):
        options["socket_keepalive"] = True
    if sentinels := sentinels_of(url):
        return Redis.from_pool(sentinel_pool(sentinels, **options))
    return Redis.from_url(known, **options)


def open_store(url: str, *, connections: int) -> tuple[str, Redis]:
    """Connect to the store, and return its URL and its client. Raises StoreError.

    If a plain URL leads to a node of a cluster, the returned one is the cluster's.
    """
    known = recognised(url)
    return known, connect(known, connections=connections)


def recognised(url: str) -> str:
    """Return a URL, as that of the cluster if it leads to a node of one. Raises StoreError."""
    if cluster_of(url):
        return url
    with connect(url, connections=1) as store:
        try:
            store.ping()
        except NodeOfCluster:
            return cluster_url(url)
    return url


def prepare(connection: Any) -> None:
    """Log in on a new connection, and check that it leads to a primary.

    For redis-py's `redis_connect_func`. Raises ReadOnlyError for a replica, whose address may lead
    to the primary soon, and WrongServer.
    """
    connection.on_connect()
    said = connection.handshake_metadata
    if not said:
        # RESP3 begins with a HELLO, RESP2 does not. HELLO needs no right, unlike ROLE and INFO.
        connection.send_command("HELLO", check_health=False)
        try:
            said = connection.read_response()
        except ResponseError:
            return
    demand_primary(said)


def greeting(said: Any) -> dict[str, Any]:
    """Read an answer to HELLO: a map in RESP3, a list in RESP2."""
    pairs = said.items() if isinstance(said, dict) else zip(said[::2], said[1::2], strict=False)
    return {text(name): value for name, value in pairs}


def demand_primary(said: Any) -> None:
    """Raise ReadOnlyError or WrongServer unless an answer to HELLO is a primary's."""
    facts = greeting(said)
    if text(facts.get("mode")) == "cluster":
        raise NodeOfCluster(
            "the server is a node of a cluster, which can be the store, as redis+cluster://host, "
            "but not the broker"
        )
    if text(facts.get("mode")) == "sentinel":
        raise WrongServer(
            "the server is a Sentinel, which holds no data: name its master with it, as in "
            "sentinel://host:26379/mymaster/0"
        )
    if text(facts.get("role")) in {"replica", "slave"}:
        raise ReadOnlyError("the server is a replica", status_code="READONLY")


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a server's clock, in milliseconds; `server` is its name in a cluster."""

    server: str
    now_ms: float


def ask(store: Redis, *command: str) -> Any:
    """Run a command that only reads, on the primary. Raises StoreError.

    A demoted server goes on answering reads on its open connections, from old data. So its role is
    asked for in the same round trip. In a cluster such a server redirects to the primary by itself.
    """
    if isinstance(store, ClusterClient):
        return store.execute_command(*command)
    return _at_primary(store, command)[0]


def ask_with_clock(store: Redis, key: str, *command: str) -> tuple[Any, Clock]:
    """Run a command, and read the clock of the server that has the key. Raises StoreError."""
    if isinstance(store, ClusterClient):
        answer = store.execute_command(*command)
        server, client = server_of(store, key)
        return answer, Clock(server, _milliseconds(client.execute_command("TIME")))
    answer, said = _at_primary(store, command, ("TIME",))
    return answer, Clock("", _milliseconds(said))


def _at_primary(store: Redis, *commands: Sequence[str]) -> list[Any]:
    pipe: Any  # redis-py gives this method no types
    with store.pipeline(transaction=False) as pipe:
        pipe.execute_command("HELLO")
        for command in commands:
            pipe.execute_command(*command)
        said, *answers = pipe.execute()
    try:
        demand_primary(said)
    except StoreError:
        drop_idle(store)
        raise
    return cast("list[Any]", answers)


def _milliseconds(said: Any) -> float:
    """Return the answer to TIME (seconds, microseconds) in milliseconds."""
    return float(said[0]) * MILLISECONDS + float(said[1]) / MILLISECONDS


def script(store: Redis, *names: str) -> Script:
    """Return the Lua scripts of these names, joined to one, ready to be called."""
    return store.register_script("\n".join(sources(*names)))


def sources(*names: str) -> list[str]:
    """Read Lua scripts, after a line with a digest of the limiter's rules, for limit.lua."""
    rules = sha256(b"".join((SCRIPTS / f"{name}.lua").read_bytes() for name in RULES))
    texts = [(SCRIPTS / f"{name}.lua").read_text(encoding="utf-8") for name in names]
    return [f"local RULES = '{rules.hexdigest()[:RULES_LENGTH]}'", *texts]


def joined(store: Redis, *files: Path) -> Script:
    """Return Lua scripts joined to one; each may use what those before it define."""
    return store.register_script("\n".join(file.read_text(encoding="utf-8") for file in files))


class Together(Script):
    """A script that answers many calls of one account at once (tasks/store/lua/together.lua)."""


def together(store: Redis, *names: str) -> Together:
    """Return scripts joined after the limiter's; the last one answers many calls in one run."""
    *helpers, each, once, loop = sources(*LIMITER, "minutes", *names, "account_once", "together")
    parts = [*helpers, "local function each(KEYS, ARGV)", each, "end", once, loop]
    return Together(store, "\n".join(parts))


def text(value: Any) -> str:
    """Decode an answer of the store; None becomes an empty text."""
    return value.decode() if isinstance(value, bytes) else str(value or "")


def tag_of(key: str) -> str:
    """Return a key's hash tag, with its braces."""
    return f"{{{key.partition('{')[2].partition('}')[0]}}}"


@lru_cache(maxsize=KEPT_NAMES)
def _short(job_id: str) -> str:
    return urlsafe_b64encode(sha256(job_id.encode()).digest()[:KEY_BYTES]).decode()


class Keys:
    """The names of all keys of an account.

    The account is the hash tag, in braces, so that a cluster has the keys of a script on one node.
    """

    def __init__(self, account_id: str) -> None:
        self._prefix = f"overture:{{{account_id}}}:"
        self.limit = f"{self._prefix}limit"
        self.paused = f"{self._prefix}paused"
        self.in_flight = f"{self._prefix}in-flight"
        # Also the prefix of the counts of each minute of the last hour.
        self.counts = f"{self._prefix}counts"
        # Prefix of the notes of the jobs that conversations were opened for.
        self.opened = f"{self._prefix}opened"
        # Prefix of the notes of the consumers' jobs.
        self.consumers = f"{self._prefix}consumers"
        self.submissions = f"{self._prefix}submissions"
        self.app_token = f"{self._prefix}app-token"
        self.token_lock = f"{self._prefix}token-lock"
        self.token_pause = f"{self._prefix}token-pause"

    def job(self, job_id: str) -> str:
        """Return the key of a job's record; its length does not depend on the id's."""
        return f"{self._prefix}j:{_short(job_id)}"

    def old_job(self, job_id: str) -> str:
        """Return the key of a job's record in the format of older versions."""
        return f"{self._prefix}job:{job_id}"

    def tally(self, submission_id: str | None) -> str:
        """Return the key of a submission's counts, and of what applies to all its jobs."""
        return f"{self._prefix}tally:{submission_id or ''}"

    def ended(self, submission_id: str | None, day: int) -> str:
        """Return the key of the list of a submission's jobs that ended on a day since 1970."""
        return f"{self._prefix}ended:{day}:{submission_id or ''}"

    def old_conversation(self, conversation_id: str) -> str:
        """Return the key of a conversation's note in the format of older versions."""
        return f"{self._prefix}conversation:{conversation_id}"

    def doubts(self, consumer_id: str) -> str:
        """Return the key of the set of a consumer's jobs that may have opened a conversation."""
        return f"{self._prefix}doubts:{consumer_id}"

    def visit(self, consumer_id: str) -> str:
        """Return the key of a consumer's visitor and session in the Monitoring API."""
        return f"{self._prefix}visit:{consumer_id}"

    def consumer(self, consumer_id: str) -> str:
        """Return the key of a consumer's lock: one job at a time opens a conversation for them."""
        return f"{self._prefix}consumer:{consumer_id}"
