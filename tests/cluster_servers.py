"""A private cluster: primaries that share the slots, each with a replica or without."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from redis import Redis
from redis.exceptions import RedisError

from tests.redis_server import RedisServer, cluster_node
from tests.waiting import wait_until

SLOTS: Final = 16384
NODE_TIMEOUT_MS: Final = 2000
# How many keys one step of a move takes along.
STEP_KEYS: Final = 100


class ClusterServers:
    """Nodes of one cluster; the first of them are the primaries at the start."""

    def __init__(self, folder: Path, *, primaries: int = 3, replicated: bool = False) -> None:
        self._primaries = primaries
        self.nodes = []
        for number in range(primaries * (2 if replicated else 1)):
            place = folder / f"node-{number}"
            place.mkdir(parents=True)
            options = {**cluster_node(), "cluster-node-timeout": NODE_TIMEOUT_MS}
            self.nodes.append(RedisServer(place, options=options))

    @property
    def url(self) -> str:
        """The URL of the store."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[: self._primaries])
        return f"redis+cluster://{hosts}"

    def __enter__(self) -> Self:
        try:
            self._start()
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
        for node in self.nodes:
            node.stop()

    def flush(self) -> None:
        """Forget all keys."""
        for node in self.primaries():
            with node.client() as client:
                client.flushall()

    def primaries(self) -> list[RedisServer]:
        """Return the nodes that have slots now, in the order of these."""
        owners = self._owners()
        return [next(node for node in self.nodes if node.port == port) for _, _, port in owners]

    @property
    def primary(self) -> RedisServer:
        """One of the servers that take writes."""
        return self.primaries()[0]

    def kill_primary(self, number: int = 0) -> RedisServer:
        """Kill a primary as a power cut would, and wait until its replica has its place."""
        killed = self.primaries()[number]
        killed.kill()
        wait_until(self._is_whole_without(killed), "a replica is promoted", seconds=30)
        return killed

    def move(self, slot: int) -> None:
        """Move a slot to the next primary, key by key, as redis-cli does."""
        source, target = self._ends(slot)
        with source.client() as old, target.client() as new:
            here, there = _id(old), _id(new)
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
            while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, STEP_KEYS):
                address = ("127.0.0.1", target.port)
                old.execute_command("MIGRATE", *address, "", 0, 5000, "KEYS", *keys)
            for node in (target, source, *self.primaries()):
                with node.client() as client:
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", there)

    def move_at_once(self, slot: int) -> None:
        """Move a slot as Valkey does since 9.0: all of its keys in one moment."""
        source, target = self._ends(slot)
        with source.client() as old, target.client() as new:
            there = _id(new)
            old.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", there)
        wait_until(lambda: self._ends(slot)[0] is target, "the slot has moved", seconds=30)

    def _ends(self, slot: int) -> tuple[RedisServer, RedisServer]:
        owners = self._owners()
        at = next(n for n, (first, last, _) in enumerate(owners) if first <= slot <= last)
        ports = list(dict.fromkeys(port for _, _, port in owners))
        source = owners[at][2]
        target = ports[(ports.index(source) + 1) % len(ports)]
        by_port = {node.port: node for node in self.nodes}
        return by_port[source], by_port[target]

    def _owners(self) -> list[tuple[int, int, int]]:
        """Return first and last slot of each range, and the port of the primary that has it."""
        for node in self.nodes:
            with suppress(RedisError), node.client() as client:
                raw: Any = cast("Any", client).execute_command("CLUSTER SLOTS")
                return sorted((one[0], one[1], one[2][1]) for one in _ranges(raw))
        raise AssertionError("no node answers")

    def _start(self) -> None:
        for number, node in enumerate(self.nodes):
            node.start()
            with node.client() as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if number < self._primaries:
                    first, after = (SLOTS * n // self._primaries for n in (number, number + 1))
                    client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        with self.nodes[0].client() as client:
            for node in self.nodes[1:]:
                bus = node.option("cluster-port")
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        wait_until(lambda: all(map(self._knows_all, self.nodes)), "the nodes know each other")
        for primary, replica in zip(self.nodes, self.nodes[self._primaries :], strict=False):
            with primary.client() as client, replica.client() as other:
                other.execute_command("CLUSTER", "REPLICATE", _id(client))
        wait_until(lambda: all(map(self._is_whole, self.nodes)), "the cluster is whole", seconds=30)

    def _knows_all(self, node: RedisServer) -> bool:
        return _info(node).get("cluster_known_nodes") == str(len(self.nodes))

    def _is_whole(self, node: RedisServer) -> bool:
        with node.client() as client:
            replication: Any = client.info("replication")
        is_linked = replication.get("master_link_status", "up") == "up"
        return _info(node).get("cluster_state") == "ok" and is_linked

    def _is_whole_without(self, killed: RedisServer) -> Any:
        left = [node for node in self.nodes if node.is_running]

        def holds() -> bool:
            with suppress(RedisError):
                is_whole = all(_info(node).get("cluster_state") == "ok" for node in left)
                return is_whole and killed.port not in {port for _, _, port in self._owners()}
            return False

        return holds


def _ranges(raw: Any) -> Any:
    """Return what CLUSTER SLOTS says, which redis-py reads into a map."""
    if isinstance(raw, dict):
        return [[*slots, ["", facts["primary"][1]]] for slots, facts in raw.items()]
    return raw


def _id(client: Redis) -> str:
    found: Any = cast("Any", client).execute_command("CLUSTER", "MYID")
    return str(found.decode())


def _info(node: RedisServer) -> dict[str, str]:
    with node.client() as client:
        raw: Any = cast("Any", client).execute_command("CLUSTER INFO")
    if isinstance(raw, dict):
        return raw
    text = raw.decode() if isinstance(raw, bytes) else str(raw)
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
