"""What store and broker may say, and what each of it means; the texts are the servers' own."""

from __future__ import annotations

from typing import Any, cast

import pytest
import redis
from amqp.exceptions import AccessRefused, ConnectionForced, NotAllowed, PreconditionFailed
from kombu.exceptions import OperationalError
from redis.exceptions import (
    AuthenticationError,
    ClusterError,
    ConnectionError,  # noqa: A004 - redis-py's
    DataError,
    MaxConnectionsError,
    TimeoutError,  # noqa: A004 - redis-py's
)

from tasks.store.replies import NoMasterYet, NoReplicas, UnknownMaster, WrongServer, classify

# redis-py makes its errors of replies with this.
as_error: Any = cast("Any", redis._parsers.BaseParser).parse_error


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("READONLY You can't write against a read only replica.", "gone"),
        (
            "READONLY You can't write against a read only replica. script: on @user_script:1.",
            "gone",
        ),
        ("UNBLOCKED force unblock from blocking operation, instance state changed", "gone"),
        (
            "ERR Error running script (call to f_5a8): @user_script: 1: -READONLY You can't write",
            "gone",
        ),
        ("LOADING Redis is loading the dataset in memory", "not yet"),
        (
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'",
            "not yet",
        ),
        ("NOREPLICAS Not enough good replicas to write.", "not yet"),
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable", "not yet"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "not yet"),
        ("CLUSTERDOWN Hash slot not served", "not yet"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "not yet"),
        ("BUSY Valkey is busy running a script. You can only call SCRIPT KILL", "not yet"),
        ("ERR max number of clients reached", "not yet"),
        ("ERR Script killed by user with SCRIPT KILL. script: on @user_script:1.", "not yet"),
        ("NOPERM this user has no permissions to run the 'set' command", "refused"),
        (
            "EXECABORT Transaction discarded because of: NOPERM User u has no permissions to run",
            "refused",
        ),
        ("EXECABORT Transaction discarded because of previous errors.", "not yet"),
        ("NOPERM User u has no permissions to run the 'set' command", "refused"),
        ("ERR The user executing the script can't run this command or subcommand", "refused"),
        ("ERR ACL failure in script: No permissions to access a key", "refused"),
        ("NOAUTH Authentication required.", "refused"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "refused"),
        ("DENIED Redis is running in protected mode because protected mode is enabled", "refused"),
        ("ERR unknown command 'BLMOVE', with args beginning with: ", "refused"),
        ("ERR Unknown Redis command called from script", "refused"),
        ("ERR DB index is out of range", "refused"),
        ("MOVED 5061 127.0.0.1:7001", "not yet"),
        ("ASK 5061 127.0.0.1:7001", "not yet"),
        ("CROSSSLOT Keys in request don't hash to the same slot", "refused"),
        ("ERR Attempted to access a non local key in a cluster node script", "refused"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "ours"),
        ("ERR user_script:1: attempt to perform arithmetic on a nil value", "ours"),
        ("ERR wrong number of arguments for 'get' command", "ours"),
        ("ERR value is not an integer or out of range", "ours"),
    ],
)
def test_what_a_server_says(reply: str, kind: str) -> None:
    """As it stands, as an error in a pipeline, and below one of kombu's; the code stays visible."""
    error = as_error(reply)
    trouble = classify(error)
    assert trouble.kind == kind
    assert reply.split(maxsplit=1)[0] in {"ERR", trouble.cause.split()[0]}
    assert bool(trouble.todo) is (kind == "refused") or kind == "not yet"
    wrapped = OperationalError("connecting failed")
    wrapped.__cause__ = error
    assert classify(wrapped) == trouble
    error.args = (f"Command # 1 (SET x 1) of pipeline caused error: {error.args[0]}",)
    assert classify(error).kind == kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("Error 111 connecting to host:6379. Connection refused."), "gone"),
        (TimeoutError("Timeout reading from host:6379"), "gone"),
        (OSError(104, "Connection reset by peer"), "gone"),
        (MaxConnectionsError("Too many connections"), "not yet"),
        (AuthenticationError("Invalid Username or Password"), "refused"),
        (ClusterError("TTL exhausted."), "not yet"),
        (NoMasterYet("the master is down"), "not yet"),
        (UnknownMaster("no such master"), "refused"),
        (NoReplicas("1 more must have it", status_code="NOREPLICAS"), "not yet"),
        (WrongServer("the server is a node of a cluster"), "refused"),
        (DataError("Invalid input of type: 'NoneType'"), "ours"),
        (ValueError("a bug"), "ours"),
        (AccessRefused("ACCESS_REFUSED - Login was refused", (10, 50)), "refused"),
        (NotAllowed("NOT_ALLOWED - vhost / not found", (10, 40)), "refused"),
        (
            NotAllowed("NOT_ALLOWED - connection refused for user 'u': user connection limit (1)"),
            "not yet",
        ),
        (PreconditionFailed("PRECONDITION_FAILED - inequivalent arg 'x-queue-type'"), "refused"),
        (PreconditionFailed("PRECONDITION_FAILED - delivery acknowledgement timed out"), "gone"),
        (ConnectionForced("CONNECTION_FORCED - broker forced connection closure"), "gone"),
    ],
)
def test_what_the_libraries_say(error: Exception, kind: str) -> None:
    """Of a connection, of a login, of a broken call."""
    assert classify(error).kind == kind


def test_a_long_text_is_cut_and_in_one_line() -> None:
    """It goes into a log."""
    cause = classify(as_error("MISCONF " + "a\nb " * 500)).cause
    assert "\n" not in cause
    assert len(cause) == 200
