"""A Redis user that has the rights which the docs name, or fewer; a server of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.overture_command import overture, start_overture
from tests.redis_server import RedisServer, cluster_node, free_port
from tests.rights import redis_rules
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

JOBS = 20


def allow(server: RedisServer, *rules: str) -> str:
    """Give the user `u` these rights alone; returns the URL with which it logs in."""
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "u", "reset", "on", ">p", *rules)
    return server.url.replace("//", "//u:p@")


@pytest.fixture
def settings(simulator: SimulatorProcess) -> dict[str, object]:
    """Configure one account; the server is yet to be named."""
    return {
        **ONE_ACCOUNT,
        "domain_api_url": simulator.url,
        "max_rate": 1000,
        "retry_schedule": "0.2,1.5",
    }


def test_the_documented_rights_are_enough(
    own_server: RedisServer, settings: dict[str, object], simulator: SimulatorProcess
) -> None:
    """Also for what is rare: a killed worker, retries, commands; the server denies nothing."""
    url = allow(own_server, *redis_rules())
    settings = {**settings, "broker_url": url}
    simulator.control("limits", {"latency": 1000})
    for number in range(3):
        simulator.control("faults", {"consumer": f"consumer-{number}", "fault": "server_error"})
    with BrokerClient(own_server.url) as client:
        with WorkerProcess(settings) as worker:
            client.put([job_document(number) for number in range(JOBS)])
            wait_until(lambda: simulator.stats()["total"]["inFlight"] >= 8, "jobs are in flight")
            worker.kill()
        simulator.control("limits", {"latency": 0})
        client.put([{"jobId": "not valid"}])
        with WorkerProcess(settings) as worker:
            client.wait_for(JOBS + 1, seconds=60)
            client.put([job_document(number, jobId=f"again-{number}") for number in range(5)])
            wait_until(lambda: len(worker.events("job.ended")) >= JOBS + 5, "more have ended")
            for command in (
                "status",
                "cancel job-99 --account 12345678",
                "limits set --max-rate 500",
                "results --limit 1 --format jsonl",
                "dead-letters replay --all --yes",
                "check",
            ):
                ended = overture(*command.split(), settings=settings)
                assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
            assert worker.stop() == 0
    with own_server.client() as admin:
        denied = {entry[b"object"] for entry in _acl_log(admin)}
    # What only gives advice, and how redis-py introduces itself.
    assert denied <= {b"config|get", b"client|setinfo", b"client|maint_notifications"}


def _acl_log(admin: Redis) -> list[dict[bytes, bytes]]:
    entries: list[dict[bytes, bytes]] = admin.execute_command("ACL", "LOG")  # type: ignore[no-untyped-call]
    return entries


def test_a_right_that_is_missing_is_named(
    own_server: RedisServer, settings: dict[str, object]
) -> None:
    """By check, and by a worker before it begins."""
    changes = ["-blmove", "-hincrby", "resetkeys", "~overture:*", "~conversations.*"]
    settings = {**settings, "broker_url": allow(own_server, *redis_rules(), *changes)}
    checked = overture("check", settings=settings)
    assert checked.returncode == 1
    lines = checked.stdout.splitlines()
    assert [line.partition(";")[0] for line in lines if "rights" in line] == [
        "✗ broker rights: the user lacks +blmove ~_kombu.*",
        "✗ store rights: the user lacks +hincrby",
    ]
    ended = overture("worker", settings=settings)
    assert ended.returncode == 1
    assert ended.stderr == (
        "overture: the store's user lacks +hincrby; add this with ACL SETUSER and its name\n"
    )


def test_a_cluster_node_is_refused_as_the_broker(
    tmp_path: Path, own_server: RedisServer, settings: dict[str, object]
) -> None:
    """By check and by a worker, in one sentence."""
    folder = tmp_path / "node"
    folder.mkdir()
    node = RedisServer(folder, options=cluster_node()).start()
    urls = {"broker_url": node.url, "store_url": own_server.url}
    try:
        checked = overture("check", settings={**settings, **urls})
        assert checked.returncode == 1
        assert "✗ broker: " in checked.stdout
        assert "node of a cluster" in checked.stdout
        of_store = overture("check", settings={**settings, "store_url": node.url})
        assert of_store.returncode == 1
        assert "✗ store: " in of_store.stdout
        assert "slots are not covered" in of_store.stdout
        ended = overture("worker", settings={**settings, **urls})
        assert ended.returncode == 1
        (line,) = ended.stderr.splitlines()
        assert f"the broker at {node.url}" in line
        assert "node of a cluster, which can be the store" in line
        assert "but not the broker" in line
    finally:
        node.stop()


@pytest.mark.parametrize(
    ("impose", "mend", "word"),
    [
        (
            lambda admin: admin.replicaof("127.0.0.1", free_port()),
            lambda admin: admin.replicaof("NO", "ONE"),
            "READONLY",
        ),
        (
            lambda admin: admin.config_set("maxmemory", 1),
            lambda admin: admin.config_set("maxmemory", 0),
            "OOM",
        ),
    ],
)
def test_a_worker_that_starts_too_early_waits(
    own_server: RedisServer,
    settings: dict[str, object],
    impose: Callable[[Redis], object],
    mend: Callable[[Redis], object],
    word: str,
) -> None:
    """The server answers, and will soon answer otherwise: as during a failover."""
    with own_server.client() as admin:
        impose(admin)
        worker = start_overture("worker", settings={**settings, "broker_url": own_server.url})
        assert worker.stderr is not None
        lines = iter(worker.stderr.readline, b"")
        assert word.encode() in next(line for line in lines if b".away" in line)
        mend(admin)
        assert next(line for line in lines if b"worker.ready" in line)
        worker.terminate()
        worker.communicate(timeout=30)
        assert worker.returncode == 0
