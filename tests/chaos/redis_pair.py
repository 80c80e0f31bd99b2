"""A Redis server and, where a run fails over, a replica behind the same address."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.exceptions import ResponseError

from tests.redis_server import RedisServer
from tests.rights import PASSWORD, USER, redis_rules
from tests.stepped_clock import SteppedClock, clock_missing
from tests.waiting import wait_until

CATCH_UP_MS: Final = 5_000
# What a worker asks only to give advice, and how redis-py introduces itself.
ADVICE: Final = frozenset({"config|get", "client|setinfo", "client|maint_notifications"})


class RedisPair:
    """The primary, and a replica that can take its place."""

    def __init__(self, folder: Path, *, has_replica: bool, restricted: bool = False) -> None:
        """With `restricted` workers log in as `USER`, with the documented rights alone."""
        self.login = f"{USER}:{PASSWORD}@" if restricted else ""
        self._places = ["one", "two"] if has_replica else ["one"]
        for place in self._places:
            (folder / place).mkdir(parents=True)
        # One clock for both, so that a failover is no step of its own.
        self.clock = SteppedClock(folder) if has_replica and not clock_missing() else None
        options = {"aclfile": _write_users(folder / "users.acl")} if restricted else {}
        self.servers = [
            RedisServer(folder / place, clock=self.clock, options=options) for place in self._places
        ]

    @property
    def primary(self) -> RedisServer:
        """The server that takes writes."""
        return self.servers[0]

    @property
    def url(self) -> str:
        """Its URL."""
        return self.primary.url

    def url_at(self, port: int) -> str:
        """Return the URL for workers, by way of a proxy."""
        return f"redis://{self.login}127.0.0.1:{port}/0"

    def denied(self) -> set[str]:
        """Name what workers were denied since the servers' last start, but for advice."""
        names = set()
        for server in self.servers:
            with server.client(decode_responses=True) as client:
                entries: Any = client.acl_log()
            names |= {one["object"] for one in entries if one["username"] == USER}
        return names - ADVICE

    def start(self) -> RedisPair:
        """Start them, and have the replica follow."""
        for server in self.servers:
            server.start()
        for replica in self.servers[1:]:
            with replica.client() as client:
                client.replicaof("127.0.0.1", str(self.primary.port))
            wait_until(lambda: self._has_caught_up(replica), "the replica follows")  # noqa: B023 - called at once
        return self

    def stop(self) -> None:
        """End them."""
        for server in self.servers:
            server.stop()

    def client(self, **options: Any) -> Redis:
        """Return a client of the primary."""
        return self.primary.client(**options)

    def fail_over(self) -> bool:
        """Let the two change places without losing a write; False while the replica lags behind.

        The demoted server keeps its clients: it answers their reads, and refuses their writes.
        """
        old, new = self.servers
        with old.client() as client:
            try:
                client.execute_command("FAILOVER", "TIMEOUT", CATCH_UP_MS)
            except ResponseError:
                return False
        wait_until(lambda: _role(new) == "master" and _role(old) == "slave", "the roles changed")
        self.servers.reverse()
        return True

    def _has_caught_up(self, replica: RedisServer) -> bool:
        with replica.client() as client:
            state: Any = client.info("replication")
        return bool(state.get("master_link_status") == "up")


def _write_users(path: Path) -> Path:
    rules = " ".join(redis_rules())
    path.write_text(f"user default on nopass ~* &* +@all\nuser {USER} on >{PASSWORD} {rules}\n")
    return path


def _role(server: RedisServer) -> str:
    with server.client() as client:
        role: Any = client.role()
    return str(role[0].decode())
