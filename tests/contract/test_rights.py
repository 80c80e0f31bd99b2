"""The rights of a restricted user: each one that is missing is named, on a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from redis import Redis

from tasks.store.connection import SCRIPTS, connect
from tasks.store.rights import STORE_RIGHTS, missing_rights
from tests.redis_server import RedisServer
from worker.broker.redis.layout import SCRIPTS as QUEUE_SCRIPTS
from worker.broker.redis.rights import BROKER_RIGHTS

NEEDED = {**STORE_RIGHTS, **BROKER_RIGHTS}
COMMANDS = sorted({name for commands in NEEDED.values() for name in commands})


@pytest.fixture
def user(client: Redis, server: RedisServer) -> Iterator[Redis]:
    """Give a user that has exactly the rights that are needed, and nothing else."""
    allow(client, "reset", "on", ">p", *rules())
    with connect(server.url.replace("//", "//u:p@"), connections=1) as restricted:
        yield restricted


def rules() -> list[str]:
    """Return the rights as ACL SETUSER takes them."""
    return [*(f"~{pattern}" for pattern in NEEDED), *(f"+{name}" for name in COMMANDS)]


def allow(client: Redis, *changes: str) -> None:
    """Change the user's rights."""
    client.execute_command("ACL", "SETUSER", "u", *changes)  # type: ignore[no-untyped-call]


def test_each_right_that_is_missing_is_named(client: Redis, user: Redis) -> None:
    """One after the other is taken away; with all of them nothing is left behind."""
    assert missing_rights(user, NEEDED) == ()
    assert list(client.scan_iter()) == []
    for name in COMMANDS:
        allow(client, f"-{name}")
        assert missing_rights(user, NEEDED) == (f"+{name}",)
        allow(client, f"+{name}")
    for pattern in NEEDED:
        others = [f"~{other}" for other in NEEDED if other != pattern]
        allow(client, "resetkeys", *others)
        assert missing_rights(user, NEEDED) == (f"~{pattern}",)


def test_nothing_dangerous_is_needed(client: Redis, user: Redis) -> None:
    """Redis's own category of what can harm a server."""
    allow(client, "reset", "on", ">p", "~*", "+@all", "-@dangerous", "-@admin")
    assert missing_rights(user, NEEDED) == ()


def test_every_command_of_the_scripts_is_tried() -> None:
    """Also those of paths that are rarely taken."""
    called = {
        name.lower()
        for folder in (SCRIPTS, QUEUE_SCRIPTS)
        for path in folder.glob("*.lua")
        for name in re.findall(r"redis\.p?call\('(\w+)'", path.read_text(encoding="utf-8"))
    }
    assert called - {"info"} <= set(COMMANDS)
