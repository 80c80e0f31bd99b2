"""The store, which holds the ledger, the limits and the shared tokens: Redis or Valkey."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
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
# The limiter's scripts, which come before those that use it.
LIMITER: Final = ("clock", "account", "circuit", "limit", "brake")
# Those by which it measures and learns.
RULES: Final = ("account", "limit")
RULES_LENGTH: Final = 8

# The scripts count in these.
MILLISECONDS: Final = 1000

# So much of the digest of a job's id names its record.
KEY_BYTES: Final = 12

# A store that does not answer within this many seconds counts as away; nothing is sent then.
ANSWER_SECONDS: Final = 5.0
# How often an idle connection is tried before it is trusted, in seconds.
HEALTH_SECONDS: Final = 15


StoreError = RedisError

# Whatever a server says to a call, its connection is dropped, and none goes back to the pool that
# leads to a demoted server. The client itself repeats nothing.
DROP: Final = Retry(NoBackoff(), 0, supported_errors=(RedisError, OSError))


def connect(url: str, *, connections: int = 64) -> Redis:
    """Return a client of the store; it connects at its first use, to a cluster at once.

    Valkey's URL schemes are read as Redis's. A call is never repeated by the client itself: its
    caller knows whether that is safe. A connection is made to a primary alone, see `prepare`. A
    cluster's client has the same commands, so that nobody but `tasks.store.cluster` need know it.
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
    # A socket of the file system has no connection that could be kept alive.
    if not known.startswith("unix:"):
        options["socket_keepalive"] = True
    if sentinels := sentinels_of(url):
        return Redis.from_pool(sentinel_pool(sentinels, **options))
    return Redis.from_url(known, **options)


def open_store(url: str, *, connections: int) -> tuple[str, Redis]:
    """Connect to the store, and return its client with the URL under which it is one.

    The URL is that of the cluster where a plain one leads to a node of it. Raises StoreError.
    """
    known = recognised(url)
    return known, connect(known, connections=connections)


def recognised(url: str) -> str:
    """Return the URL under which the store is one, as `open_store`. Raises StoreError."""
    if cluster_of(url):
        return url
    with connect(url, connections=1) as store:
        try:
            store.ping()
        except NodeOfCluster:
            return cluster_url(url)
    return url


def prepare(connection: Any) -> None:
    """Log a new connection in, and see that it leads to a server that takes writes.

    For redis-py's `redis_connect_func`. Raises ReadOnlyError for a replica, as its address may lead
    to the primary soon, and WrongServer.
    """
    connection.on_connect()
    said = connection.handshake_metadata
    if not said:
        # Only the newer protocol begins with it. HELLO needs no right, unlike ROLE and INFO.
        connection.send_command("HELLO", check_health=False)
        try:
            said = connection.read_response()
        except ResponseError:
            return
    demand_primary(said)


def greeting(said: Any) -> dict[str, Any]:
    """Read an answer to HELLO, which is a map or a list by the protocol."""
    pairs = said.items() if isinstance(said, dict) else zip(said[::2], said[1::2], strict=False)
    return {text(name): value for name, value in pairs}


def demand_primary(said: Any) -> None:
    """Raise ReadOnlyError or WrongServer for an answer to HELLO that is no primary's."""
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
    """What the clock of a server says, in milliseconds; `server` is its name in a cluster."""

    server: str
    now_ms: float


def ask(store: Redis, *command: str) -> Any:
    """Run a command that only reads, at the primary. Raises StoreError.

    A server that was demoted goes on answering reads over the connections it has, from data that
    stand still: its role is asked for in the same round trip. In a cluster such a server sends
    whoever asks on to the primary.
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
    """Read the answer to TIME: seconds, and microseconds of the next."""
    return float(said[0]) * MILLISECONDS + float(said[1]) / MILLISECONDS


def script(store: Redis, *names: str) -> Script:
    """Return the Lua scripts of these names as one, ready to be called."""
    return store.register_script("\n".join(sources(*names)))


def sources(*names: str) -> list[str]:
    """Read Lua scripts; before them stands a digest of the limiter's rules, for limit.lua."""
    rules = sha256(b"".join((SCRIPTS / f"{name}.lua").read_bytes() for name in RULES))
    texts = [(SCRIPTS / f"{name}.lua").read_text(encoding="utf-8") for name in names]
    return [f"local RULES = '{rules.hexdigest()[:RULES_LENGTH]}'", *texts]


def joined(store: Redis, *files: Path) -> Script:
    """Return Lua scripts as one, ready to be called; each may use what those before it define."""
    return store.register_script("\n".join(file.read_text(encoding="utf-8") for file in files))


class Together(Script):
    """A script that answers many calls of one account at once (tasks/store/lua/together.lua)."""


def together(store: Redis, *names: str) -> Together:
    """Return the limiter's scripts and others as one, the last of which is called many times."""
    *helpers, each, once, loop = sources(*LIMITER, *names, "account_once", "together")
    parts = [*helpers, "local function each(KEYS, ARGV)", each, "end", once, loop]
    return Together(store, "\n".join(parts))


def text(value: Any) -> str:
    """Decode what the store answered; an absent value is empty."""
    return value.decode() if isinstance(value, bytes) else str(value or "")


def tag_of(key: str) -> str:
    """Return the part of a key by which a cluster places it, with its braces."""
    return f"{{{key.partition('{')[2].partition('}')[0]}}}"


class Keys:
    """The names of everything an account has in the store.

    The account stands in braces, so that a cluster keeps what one script touches on one node.
    """

    def __init__(self, account_id: str) -> None:
        self._prefix = f"overture:{{{account_id}}}:"
        self.limit = f"{self._prefix}limit"
        self.paused = f"{self._prefix}paused"
        self.in_flight = f"{self._prefix}in-flight"
        self.counts = f"{self._prefix}counts"
        # Before the names of the notes for which jobs conversations were opened.
        self.opened = f"{self._prefix}opened"
        # Before the names of the notes which jobs consumers have.
        self.consumers = f"{self._prefix}consumers"
        self.submissions = f"{self._prefix}submissions"
        self.app_token = f"{self._prefix}app-token"
        self.token_lock = f"{self._prefix}token-lock"
        self.token_pause = f"{self._prefix}token-pause"

    def job(self, job_id: str) -> str:
        """Name the ledger's record of a job: as short for a long id as for any other."""
        digest = sha256(job_id.encode()).digest()[:KEY_BYTES]
        return f"{self._prefix}j:{urlsafe_b64encode(digest).decode()}"

    def old_job(self, job_id: str) -> str:
        """Name the record of a job as it was written before there were packed ones."""
        return f"{self._prefix}job:{job_id}"

    def tally(self, submission_id: str | None) -> str:
        """Name the counts of a submission, and what holds for all of its jobs."""
        return f"{self._prefix}tally:{submission_id or ''}"

    def ended(self, submission_id: str | None, day: int) -> str:
        """Name the list of a submission's jobs that ended on a day, counted from 1970."""
        return f"{self._prefix}ended:{day}:{submission_id or ''}"

    def old_conversation(self, conversation_id: str) -> str:
        """Name a note of the job that a conversation was opened for, as it was written before."""
        return f"{self._prefix}conversation:{conversation_id}"

    def doubts(self, consumer_id: str) -> str:
        """Name the set of a consumer's jobs that may have opened a conversation unnoticed."""
        return f"{self._prefix}doubts:{consumer_id}"

    def visit(self, consumer_id: str) -> str:
        """Name the note of a consumer's visit, as the Monitoring API knows it."""
        return f"{self._prefix}visit:{consumer_id}"

    def consumer(self, consumer_id: str) -> str:
        """Name the lock that lets one job at a time open a conversation for a consumer."""
        return f"{self._prefix}consumer:{consumer_id}"
