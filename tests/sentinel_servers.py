"""A private master with its replicas, and the Sentinels that watch it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis
from redis.exceptions import RedisError

from tests.redis_server import VALKEY, RedisServer, free_port
from tests.waiting import wait_until

MASTER: Final = "mymaster"
DOWN_AFTER_MS: Final = 1000
# A Sentinel begins no other failover for twice as long; two that begin one each promote two.
FAILOVER_TIMEOUT_MS: Final = 10_000


class Sentinel:
    """One Sentinel; it keeps what it learns in its configuration file."""

    def __init__(self, folder: Path, lines: list[str]) -> None:
        self.port = free_port()
        self._folder = folder
        self._file = folder / "sentinel.conf"
        head = [f"port {self.port}", "bind 127.0.0.1", f"dir {folder}", "protected-mode no"]
        self._file.write_text("\n".join([*head, f"logfile {folder}/sentinel.log", *lines, ""]))

    def start(self) -> None:
        """Start it, or start it again with what it knew."""
        self._process = subprocess.Popen([VALKEY, str(self._file), "--sentinel"])

    def stop(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Let it answer nobody."""
        self._process.send_signal(signal.SIGSTOP)


class WatchedServers:
    """Data servers, the first of which is the master at the start, and three Sentinels.

    `password` is that of the data servers, `sentinel_password` that of the Sentinels.
    """

    def __init__(
        self,
        folder: Path,
        *,
        replicas: int = 1,
        password: str = "",
        sentinel_password: str = "",
        options: Mapping[str, object] | None = None,
    ) -> None:
        self._password = password
        self._sentinel_password = sentinel_password
        login = {"requirepass": password, "masterauth": password} if password else {}
        self.servers = []
        for number in range(1 + replicas):
            place = folder / f"server-{number}"
            place.mkdir(parents=True)
            self.servers.append(RedisServer(place, options={**login, **(options or {})}))
        lines = [
            f"sentinel monitor {MASTER} 127.0.0.1 {self.servers[0].port} 2",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {MASTER} {FAILOVER_TIMEOUT_MS}",
            *([f"sentinel auth-pass {MASTER} {password}"] if password else []),
            *([f"requirepass {sentinel_password}"] if sentinel_password else []),
            *([f"sentinel sentinel-pass {sentinel_password}"] if sentinel_password else []),
        ]
        self.sentinels = []
        for number in range(3):
            place = folder / f"sentinel-{number}"
            place.mkdir()
            self.sentinels.append(Sentinel(place, lines))

    @property
    def url(self) -> str:
        """The URL of the store."""
        user = f":{self._password}@" if self._password else ""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        options = f"?sentinel_password={self._sentinel_password}" * bool(self._sentinel_password)
        return f"sentinel://{user}{hosts}/{MASTER}/0{options}"

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                server.start()
            for server in self.servers[1:]:
                self.client(server).replicaof("127.0.0.1", str(self.servers[0].port))
            for sentinel in self.sentinels:
                sentinel.start()
            wait_until(self._is_watched, "the Sentinels know each other and the replicas")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End them all."""
        for sentinel in self.sentinels:
            with suppress(AttributeError):
                sentinel.stop()
        for server in self.servers:
            server.stop()

    def client(self, server: RedisServer) -> Redis:
        """Return a client of one of the servers."""
        return server.client(password=self._password or None)

    def master(self) -> RedisServer:
        """Return the server that the Sentinels name now."""
        for sentinel in self.sentinels:
            with suppress(RedisError):
                return self._named_by(sentinel)
        raise AssertionError("no Sentinel answers")

    def _named_by(self, sentinel: Sentinel) -> RedisServer:
        with self._ask(sentinel) as client:
            found: Any = client.sentinel_get_master_addr_by_name(MASTER)
        return next(one for one in self.servers if one.port == int(found[1]))

    def _is_named_by_all_but(self, killed: RedisServer) -> bool:
        with suppress(RedisError):
            return killed not in map(self._named_by, self.sentinels)
        return False

    @property
    def primary(self) -> RedisServer:
        """The server that takes writes."""
        return self.master()

    def kill_master(self) -> RedisServer:
        """Kill the master as a power cut would, and wait until another server has its place."""
        killed = self.master()
        killed.kill()
        wait_until(lambda: self._is_named_by_all_but(killed), "all name another master", seconds=60)
        return killed

    def mend(self, server: RedisServer) -> None:
        """Start a server again, and wait until it follows the master of now."""
        server.start()
        wait_until(self._is_watched, "the master has its replicas", seconds=90)

    def _ask(self, sentinel: Sentinel) -> Redis:
        password = self._sentinel_password or None
        return Redis(port=sentinel.port, password=password, socket_timeout=2)

    def _is_watched(self) -> bool:
        with suppress(RedisError):
            for sentinel in self.sentinels:
                with self._ask(sentinel) as client:
                    state: Any = client.sentinel_master(MASTER)
                    replicas: Any = client.sentinel_slaves(MASTER)
                up = [one for one in replicas if one["master-link-status"] == "ok"]
                if state["num-other-sentinels"] < 2 or len(up) < len(self.servers) - 1:
                    return False
            return True
        return False
