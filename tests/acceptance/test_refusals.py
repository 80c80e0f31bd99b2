"""A server that answers, but refuses: in flight or at a reconnect, no process ends for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.rabbit_server import RabbitServer
from tests.redis_server import RedisServer, free_port
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

Change = Callable[[RedisServer, Redis], object]
EVERYTHING = ("on", "nopass", "~*", "&*", "+@all")


def _cannot_save(server: RedisServer, admin: Redis) -> None:
    (server.folder / "dump.rdb").mkdir(exist_ok=True)
    admin.config_set("save", "3600 1")
    admin.config_set("stop-writes-on-bgsave-error", "yes")
    admin.bgsave()


def _hold_up(server: RedisServer, admin: Redis) -> None:
    admin.config_set("busy-reply-threshold", 50)

    def run() -> None:
        with suppress(RedisError), server.client(username="admin", password="admin") as client:
            client.eval("while true do end", 0)

    threading.Thread(target=run, daemon=True).start()


@dataclass(frozen=True)
class Trouble:
    """How it is made and mended, and what a worker's log says of it."""

    impose: Change
    mend: Change
    word: str


TROUBLES = {
    "out of memory": Trouble(
        lambda _, admin: admin.config_set("maxmemory", 1),
        lambda _, admin: admin.config_set("maxmemory", 0),
        "OOM",
    ),
    "its disk is full": Trouble(
        _cannot_save,
        lambda _, admin: admin.config_set("stop-writes-on-bgsave-error", "no"),
        "MISCONF",
    ),
    "no replicas": Trouble(
        lambda _, admin: admin.config_set("min-replicas-to-write", 1),
        lambda _, admin: admin.config_set("min-replicas-to-write", 0),
        "NOREPLICAS",
    ),
    "demoted": Trouble(
        lambda _, admin: admin.replicaof("127.0.0.1", free_port()),
        lambda _, admin: admin.replicaof("NO", "ONE"),
        "READONLY",
    ),
    "busy": Trouble(_hold_up, lambda _, admin: admin.script_kill(), "BUSY"),
    "password changed": Trouble(
        lambda _, admin: _allow(admin, "resetpass", ">other"),
        lambda _, admin: _allow(admin, *EVERYTHING),
        "NOAUTH",
    ),
    "scripts forbidden": Trouble(
        lambda _, admin: _allow(admin, "-eval", "-evalsha"),
        lambda _, admin: _allow(admin, *EVERYTHING),
        "NOPERM",
    ),
    "keys forbidden": Trouble(
        lambda _, admin: _allow(admin, "resetkeys", "~overture:*"),
        lambda _, admin: _allow(admin, *EVERYTHING),
        "NOPERM",
    ),
    "scripts forgotten": Trouble(lambda _, admin: admin.script_flush(), lambda *_: None, ""),
}


def _allow(admin: Redis, *rules: str) -> None:
    admin.execute_command("ACL", "SETUSER", "default", *rules)  # type: ignore[no-untyped-call]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Valkey."""
    found = RedisServer(tmp_path).start()
    yield found
    found.kill()


def test_no_refusal_ends_a_worker(server: RedisServer, simulator: SimulatorProcess) -> None:
    """Whatever the one server that is store and broker says; within seconds after it, jobs flow."""
    settings = {
        **ONE_ACCOUNT,
        "broker_url": server.url,
        "domain_api_url": simulator.url,
        "max_rate": 20,
    }
    simulator.control("limits", {"latency": 300})
    numbers = iter(range(10_000))

    def put(client: BrokerClient) -> None:
        client.put([job_document(next(numbers)) for _ in range(10)])

    with server.client(username="admin", password="admin") as admin:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "admin", "on", ">admin", "~*", "&*", "+@all")
        with WorkerProcess(settings) as worker:
            for what, trouble in TROUBLES.items():
                for is_at_reconnect in (False, True):
                    with BrokerClient(server.url) as client:
                        put(client)
                        client.wait_for(2)
                        so_far, before = client.out, len(worker.output())
                        trouble.impose(server, admin)
                    if is_at_reconnect and what != "busy":
                        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                    # Who is logged in stays so: a password is asked for at the next connection.
                    if is_at_reconnect or what != "password changed":
                        wait_until(lambda: trouble.word in worker.output()[before:], what)  # noqa: B023
                    assert worker.process.poll() is None, what
                    trouble.mend(server, admin)
                    with BrokerClient(server.url) as client:
                        client.out = so_far
                        put(client)
                        client.wait_for(20, seconds=15)
                        assert client.out.dead_letters == [], what
            admin.flushall()
            with BrokerClient(server.url) as client:
                put(client)
                client.wait_for(10, seconds=15)
            assert worker.stop() == 0
    assert len(simulator.conversations()) == next(numbers)


@pytest.mark.xdist_group("rabbitmq")
def test_a_password_that_is_wrong_for_a_while_is_waited_for(
    rabbit_server: RabbitServer, rabbit_url: str, valkey_url: str, simulator: SimulatorProcess
) -> None:
    """RabbitMQ closes a connection that it does not let in; the log says so, at level error."""
    user = f"user{free_port()}"
    rabbit_server.control("add_user", user, "right")
    rabbit_server.control("set_permissions", user, ".*", ".*", ".*")
    settings = {
        **ONE_ACCOUNT,
        "broker_url": rabbit_url.replace("guest:guest", f"{user}:right"),
        "store_url": valkey_url,
        "domain_api_url": simulator.url,
        "max_rate": 1000,
    }
    with BrokerClient(rabbit_url) as client, WorkerProcess(settings) as worker:
        client.put([job_document(1)])
        client.wait_for(1)
        rabbit_server.control("change_password", user, "wrong")
        rabbit_server.control("close_all_user_connections", user, "test")
        wait_until(lambda: worker.events("broker.refused"), "the worker says why it waits")
        client.put([job_document(2)])
        rabbit_server.control("set_permissions", user, "^$", "^$", "^$")
        rabbit_server.control("change_password", user, "right")
        wait_until(lambda: "access to " in worker.output(), "it is let in, and may not do anything")
        rabbit_server.control("set_permissions", user, ".*", ".*", ".*")
        client.wait_for(2, seconds=20)
        assert {entry["level"] for entry in worker.events("broker.refused")} == {"error"}
        assert worker.stop() == 0
