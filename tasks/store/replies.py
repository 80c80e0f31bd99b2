"""What an error of Redis, Valkey or RabbitMQ means: reconnect, wait, or ask the operator.

All calls to store and broker use this one classification. Sources: the servers' own texts (Redis
7.0 and Valkey 9.1, tried; Redis 6.2 wraps a script's errors in one of its own), redis-py's and
py-amqp's classes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import structlog
from amqp.exceptions import AMQPError
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterError,
    ConnectionError,  # noqa: A004 - redis-py's
    ExternalAuthProviderError,
    InvalidResponse,
    MaxConnectionsError,
    RedisError,
    TimeoutError,  # noqa: A004 - redis-py's
)
from redis.sentinel import MasterNotFoundError

# gone: the connection cannot be used any more, but a new one may work, as after a failover.
# not yet: the server cannot do it now; it will later, by itself or after a repair.
# refused: the server will not do it until an operator changes something.
# ours: no server is to blame, but a bug in a script, or foreign data in one of our keys.
Kind = Literal["gone", "not yet", "refused", "ours"]

MAX_CHARACTERS: Final = 200

_RIGHTS: Final = "give its user the commands and keys that docs/operations.md lists"
_LOGIN: Final = "correct the user or the password, in the URL or on the server"
_CLUSTER: Final = "it is a node of a cluster: name it as redis+cluster://host, for the store alone"

_BY_CODE: Final[Mapping[str, tuple[Kind, str]]] = {
    "READONLY": ("gone", ""),
    "UNBLOCKED": ("gone", ""),
    "REDIRECT": ("gone", ""),
    "LOADING": ("not yet", ""),
    "MASTERDOWN": ("not yet", ""),
    "CLUSTERDOWN": ("not yet", ""),
    "TRYAGAIN": ("not yet", ""),
    "NOSCRIPT": ("not yet", ""),
    "NOREPLICAS": (
        "not yet",
        "bring its replicas back, or lower min-replicas-to-write or OVERTURE_STORE_REPLICAS",
    ),
    "MISCONF": ("not yet", "free its disk: it cannot save its data"),
    "OOM": ("not yet", "raise its maxmemory"),
    "BUSY": ("not yet", "if it lasts, end the script that keeps it busy: SCRIPT KILL"),
    "UNKILLABLE": ("not yet", ""),
    "NOPERM": ("refused", _RIGHTS),
    "NOAUTH": ("refused", _LOGIN),
    "WRONGPASS": ("refused", _LOGIN),
    "DENIED": ("refused", "turn its protected mode off, or give it a password"),
    "NOPROTO": ("refused", "use Redis 6.2 or newer, or Valkey"),
    # The cluster's client follows these; they are seen only while slots move back and forth.
    "MOVED": ("not yet", ""),
    "ASK": ("not yet", ""),
    "CROSSSLOT": ("refused", _CLUSTER),
}
# Texts of errors with the common code ERR, in lower case.
_BY_WORDS: Final[Mapping[str, tuple[Kind, str]]] = {
    "acl failure in script": ("refused", _RIGHTS),
    "the user executing the script can't": ("refused", _RIGHTS),
    "unknown command": ("refused", "use Redis 6.2 or newer, or Valkey"),
    "unknown redis command": ("refused", "use Redis 6.2 or newer, or Valkey"),
    "unknown subcommand": ("refused", "use Redis 6.2 or newer, or Valkey"),
    "non local key in a cluster node": ("refused", _CLUSTER),
    "select is not allowed in cluster mode": ("refused", _CLUSTER),
    "db index": ("refused", "correct the database number at the end of the URL"),
    "invalid password": ("refused", _LOGIN),
    "without any password configured": ("refused", _LOGIN),
    "no password is set": ("refused", _LOGIN),
    "max number of clients": ("not yet", "raise its maxclients"),
    "script killed by user": ("not yet", ""),
    "transaction discarded": ("not yet", ""),
}
_AMQP_REFUSED: Final[Mapping[int, str]] = {
    403: "correct the user, the password or the user's permissions",
    405: "another connection uses the queue for itself alone",
    406: "a queue or an exchange has other arguments: delete it first",
    530: "correct the virtual host, or let the user use it",
}
_PRECONDITION_FAILED: Final = 406
_OTHER_ARGUMENTS: Final = "inequivalent arg"
# RabbitMQ sends this text with the code for a virtual host that may not be used.
_CONNECTION_LIMIT: Final = "connection limit"
_CODE: Final = re.compile(r"([A-Z]{3,})\b")
# Some prefix comes before the server's text: redis-py's names the command, Redis 6.2's the script,
# EXEC's itself, and our producer's says that it quotes.
_INNER_CODE: Final = re.compile(r"(?:caused error: |because of: |: -|answers ['\"])([A-Z]{3,}) ")

log = structlog.get_logger()

_counting: Final = threading.Lock()
_errors = 0


class WrongServer(RedisError):
    """Overture does not work with this kind of server; the text says which it is."""


class NodeOfCluster(WrongServer):
    """The server is a node of a cluster, but its URL is not a cluster's."""


class NoMasterYet(MasterNotFoundError):
    """The Sentinels answer that the master is down: they will promote another one."""


class NoReplicas(RedisError):
    """The primary has a write, but too few replicas have confirmed it."""


class UnknownMaster(RedisError):
    """The Sentinels answer, but none of them watches a master of this name."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The kind of an error, its text, and what an operator can do (empty: nothing)."""

    kind: Kind
    cause: str
    todo: str = ""

    @property
    def is_over_soon(self) -> bool:
        """Whether the server answers, and the error will probably end by itself."""
        return self.kind == "not yet" or self.cause.startswith("READONLY")


def classify(error: BaseException) -> Trouble:
    """Classify an error of store or broker; any other error is `ours`."""
    # kombu wraps the error of the library below in one of its own.
    if error.__cause__ is not None and not isinstance(error, RedisError | AMQPError):
        return classify(error.__cause__)
    # redis-py removes the code from the text of an error that it has a class for.
    code = getattr(error, "status_code", None) or ""
    text = " ".join(f"{code.removeprefix('ERR')} {error}".split())
    kind, todo = _amqp(error) if isinstance(error, AMQPError) else _redis(error, text)
    return Trouble(kind, text[:MAX_CHARACTERS] or type(error).__name__, todo)


def report(trouble: Trouble, retry_in: float) -> None:
    """Log an error of the store, by its kind, and count it."""
    count_error()
    facts = _facts(trouble, retry_in)
    match trouble.kind:
        case "refused":
            log.error("store.refused", **facts)
        case "ours":
            log.error("store.failed", **facts)
        case _:
            log.warning("store.away", **facts)


def count_error() -> None:
    """Count a failed call to the store."""
    global _errors  # noqa: PLW0603 - it is the process's, as the log is
    with _counting:
        _errors += 1


def store_errors() -> int:
    """Return how many calls of this process to the store have failed."""
    return _errors


def report_broker(trouble: Trouble, retry_in: float) -> None:
    """Log an error of the broker, by its kind."""
    facts = _facts(trouble, retry_in)
    if trouble.kind in {"gone", "not yet"}:
        log.warning("broker.away", **facts)
    else:
        log.error("broker.refused", **facts)


def _facts(trouble: Trouble, retry_in: float) -> dict[str, object]:
    facts: dict[str, object] = {"kind": trouble.kind, "error": trouble.cause, "retry_in": retry_in}
    return {**facts, "todo": trouble.todo} if trouble.todo else facts


def _amqp(error: AMQPError) -> tuple[Kind, str]:
    code = int(getattr(error, "reply_code", 0) or 0)
    if code == _PRECONDITION_FAILED and _OTHER_ARGUMENTS not in str(error):
        # The channel was closed, perhaps because it kept a message for too long; a new one works.
        return "gone", ""
    if _CONNECTION_LIMIT in str(error):
        return "not yet", "raise the user's or the virtual host's limit of connections"
    return ("refused", _AMQP_REFUSED[code]) if code in _AMQP_REFUSED else ("gone", "")


def _redis(error: BaseException, text: str) -> tuple[Kind, str]:
    for found in (_CODE.match(text), _INNER_CODE.search(text)):
        if found and found[1] in _BY_CODE:
            return _BY_CODE[found[1]]
    words = text.lower()
    for part, meaning in _BY_WORDS.items():
        if part in words:
            return meaning
    return _by_class(error)


def _by_class(error: BaseException) -> tuple[Kind, str]:
    match error:
        case WrongServer():
            return "refused", "name a server of another kind, or name it in another way"
        case UnknownMaster():
            return "refused", "correct the master's name, which stands after the hosts in the URL"
        case NoMasterYet():
            return "not yet", ""
        case MaxConnectionsError() | ExternalAuthProviderError() | ClusterError():
            return "not yet", ""
        case AuthenticationError() | AuthorizationError():
            return "refused", _LOGIN
        case ConnectionError() | TimeoutError() | InvalidResponse() | OSError():
            return "gone", ""
        case _:
            return "ours", ""


def advice(error: BaseException, otherwise: str) -> str:
    """Return what to do about an error of store or broker; `otherwise` if that is unknown."""
    trouble = classify(error)
    return trouble.todo or ("try again in a moment" if trouble.is_over_soon else otherwise)
