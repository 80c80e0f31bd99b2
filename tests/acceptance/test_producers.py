"""The producers in examples/producers/, run as whoever copies them would run them."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psycopg
import pytest

from config.names import JOBS_QUEUE, account_queue
from tests.broker_client import BrokerClient
from tests.chaos.proxy import Proxy
from tests.postgres_server import PostgresServer, postgres_missing
from tests.rabbit_server import RabbitServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import ROOT, environment

PRODUCERS: Final = ROOT / "examples" / "producers"
# Debian's librabbitmq-client-java and libgoogle-gson-java.
JARS: Final = [
    Path("/usr/share/java", f"{name}.jar") for name in ("amqp-client", "gson", "slf4j-api")
]
WITH_RABBITMQ: Final = pytest.mark.xdist_group("rabbitmq")


def run(*command: object, folder: Path = PRODUCERS, broker_url: str = "") -> str:
    """Run a command, and give what it prints. Raises CalledProcessError."""
    found = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "OVERTURE_BROKER_URL": broker_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return found.stdout.strip()


def missing(program: str) -> str:
    """Say why a producer cannot be run here; empty if it can."""
    if program == "node":
        needed = shutil.which("node") and (PRODUCERS / "node_modules" / "amqplib").exists()
        return "" if needed else f"Node, or its amqplib (npm ci --prefix {PRODUCERS}), is not here"
    if program == "java":
        needed = shutil.which("javac") and all(jar.exists() for jar in JARS)
        return "" if needed else "a JDK, amqp-client.jar or gson.jar is not here"
    return ""


def need(reason: str) -> None:
    """Leave a test out for a reason, but not in a build."""
    if reason and os.environ.get("CI"):
        pytest.fail(f"{reason}, and a build must not leave these tests out")
    if reason:
        pytest.skip(reason)


def start(program: str, broker_url: str, folder: Path) -> str:
    """Run a producer's own main; gives the id that it prints."""
    # Java reads a URL as RFC 3986 has it, in which / as a virtual host is %2F.
    url = f"{broker_url[:-2]}/%2F" if broker_url.endswith("//") else broker_url
    if program == "node":
        (folder / "node_modules").symlink_to(PRODUCERS / "node_modules")
        return run("node", "overture_producer.mjs", folder=folder, broker_url=url)
    if program == "java":
        path = os.pathsep.join(map(str, [*JARS, folder]))
        sources = [folder / f"{name}.java" for name in ("OvertureJob", "OvertureProducer")]
        run("javac", "-cp", path, "-d", folder, *sources)
        return run("java", "-cp", path, "OvertureProducer", broker_url=url)
    return run(sys.executable, folder / "overture_producer.py", program, broker_url=url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder into which the producers were copied."""
    ignored = shutil.ignore_patterns("node_modules", "__pycache__")
    return Path(shutil.copytree(PRODUCERS, tmp_path / "mine", ignore=ignored))


@pytest.fixture
def settings(settings: dict[str, object]) -> Iterator[dict[str, object]]:
    """Name LivePerson."""
    with SimulatorProcess("--seed", "1") as simulator:
        yield {**settings, "domain_api_url": simulator.url}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run PostgreSQL, where its server is installed."""
    need(postgres_missing())
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer, outbox: ModuleType) -> str:
    """Give a database with an empty outbox."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS overture_outbox")
        connection.execute(outbox.SCHEMA)
    return postgres.url


@pytest.fixture
def producer_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import overture_producer.py, as a program beside it would."""
    monkeypatch.syspath_prepend(str(PRODUCERS))
    return import_module("overture_producer")


@pytest.fixture
def outbox(producer_module: ModuleType) -> ModuleType:
    """Import outbox.py."""
    assert producer_module
    return import_module("outbox")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("program", "broker_url"),
    [
        ("celery", "valkey"),
        *(
            pytest.param(name, "rabbitmq", marks=WITH_RABBITMQ)
            for name in ("celery", "pika", "node", "java")
        ),
    ],
    indirect=["broker_url"],
)
def test_a_program_enqueues_a_job(program: str, broker_url: str, folder: Path) -> None:
    """The job whose id it prints has its conversation, on every broker that it can talk to."""
    need(missing(program))
    job_id = start(program, broker_url, folder)
    with BrokerClient(broker_url) as client:
        (result,) = client.wait_for(1).results
    assert (result["jobId"], result["status"]) == (job_id, "created")
    assert result["metadata"] == {"firstMessage": "Your order is on its way."}


@WITH_RABBITMQ
@pytest.mark.parametrize("program", ["celery", "pika", "node", "java"])
def test_a_program_does_not_lose_a_job_for_want_of_a_queue(
    program: str, rabbit_url: str, folder: Path
) -> None:
    """Where no queue takes the job, its producer fails."""
    need(missing(program))
    for file in folder.glob("*roducer.*"):
        file.write_text(file.read_text().replace(JOBS_QUEUE, account_queue("nobody")))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        start(program, rabbit_url, folder)
    assert caught.value.stdout == ""
    assert "NotEnqueued" in caught.value.stderr


def test_an_id_is_the_same_in_every_language(folder: Path, producer_module: ModuleType) -> None:
    """The same event from two applications is one conversation, whatever they are written in."""
    parts = ["welcome", "Grüße 😀", "", "a:b"]
    expected = producer_module.job_id(*parts)
    assert expected != producer_module.job_id("welcome", "Grüße 😀", "a:b")
    assert len(expected) == 64
    for program in ("node", "java"):
        need(missing(program))
    (folder / "node_modules").symlink_to(PRODUCERS / "node_modules")
    words = json.dumps(parts)
    script = 'const { jobId } = await import("./overture_producer.mjs"); console.log(jobId(...'
    command = ["node", "--input-type=module", "--eval", f"{script}{words}))"]
    assert run(*command, folder=folder) == expected
    path = os.pathsep.join(map(str, [*JARS, folder]))
    (folder / "Id.java").write_text(
        "class Id { public static void main(String[] words) {"
        f" System.out.println(OvertureProducer.jobId({words[1:-1]})); }} }}",
        encoding="utf-8",
    )
    sources = [folder / f"{name}.java" for name in ("OvertureJob", "OvertureProducer", "Id")]
    run("javac", "-encoding", "utf-8", "-cp", path, "-d", folder, *sources)
    assert run("java", "-cp", path, "Id") == expected


@WITH_RABBITMQ
def test_many_are_enqueued_at_once(rabbit_url: str, producer_module: ModuleType) -> None:
    """More than are under way at a time; those of which nobody knows are named."""
    jobs = [{"jobId": f"job-{n}", "consumerId": f"c-{n}", "priority": n % 10} for n in range(2500)]
    with BrokerClient(rabbit_url) as client:
        producer = producer_module.PikaProducer(rabbit_url)
        producer.enqueue_many(iter(jobs))
        assert client.waiting(JOBS_QUEUE) == 2500
        lost = producer_module.PikaProducer(rabbit_url, queue=account_queue("nobody"))
        with pytest.raises(producer_module.NotEnqueued, match="no queue") as caught:
            lost.enqueue_many(jobs)
        assert set(caught.value.job_ids) == {job["jobId"] for job in jobs}
        lost.close()
        producer.close()


@WITH_RABBITMQ
def test_a_connection_that_is_gone_is_opened_again(
    rabbit_server: RabbitServer, rabbit_url: str, producer_module: ModuleType
) -> None:
    """As after a night in which nothing was enqueued: reset by the broker, or by nobody."""
    job = {"jobId": "job-1", "consumerId": "c-1"}
    with BrokerClient(rabbit_url) as client, Proxy(rabbit_server.port) as proxy:
        url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/%2F"
        producer = producer_module.PikaProducer(url, timeout_seconds=2)
        producer.enqueue(job)
        proxy.reset()
        producer.enqueue(job)
        proxy.half_open()
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            producer.enqueue(job)
            gc.collect()  # the socket that pika forgets
        assert client.waiting(JOBS_QUEUE) == 3
        proxy.cut()
        with pytest.raises(producer_module.NotEnqueued, match="job-1"):
            producer.enqueue(job)
        producer.close()


class Listed:
    """A producer that keeps what it is given, or fails."""

    def __init__(self, fails: type[Exception] | None = None) -> None:
        self.jobs: list[str] = []
        self._fails = fails

    def enqueue_many(self, jobs: Iterable[dict[str, Any]]) -> None:
        """Keep them."""
        given = list(jobs)
        if self._fails:
            raise self._fails("no broker", given)
        self.jobs += [job["jobId"] for job in given]


def put(outbox: ModuleType, connection: psycopg.Connection[Any], *names: str) -> None:
    """Write jobs into the outbox."""
    for name in names:
        outbox.put(connection, {"jobId": name, "consumerId": name})


def test_an_outbox_is_part_of_the_transaction(
    database: str, outbox: ModuleType, producer_module: ModuleType
) -> None:
    """What is rolled back was never there; what is not enqueued stays."""
    with psycopg.connect(database) as connection:
        put(outbox, connection, "taken-back")
        connection.rollback()
        put(outbox, connection, "kept")
    broken, producer = Listed(producer_module.NotEnqueued), Listed()
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(producer_module.NotEnqueued):
            outbox.move(connection, broken)
        assert outbox.move(connection, producer) == 1
        assert outbox.move(connection, producer) == 0
    assert producer.jobs == ["kept"]


def test_relays_share_an_outbox(
    database: str, outbox: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None waits for what another has in hand, and every job is moved once."""
    monkeypatch.setattr(outbox, "BATCH", 7)
    names = [f"job-{n}" for n in range(200)]
    producers = [Listed(), Listed(), Listed()]
    with psycopg.connect(database, autocommit=True) as holder:
        put(outbox, holder, *names)
        with holder.transaction():
            held = holder.execute(outbox.TAKE, [7]).fetchall()

            def work(producer: Listed) -> None:
                with psycopg.connect(database, autocommit=True) as mine:
                    while outbox.move(mine, producer):
                        pass

            threads = [threading.Thread(target=work, args=[one]) for one in producers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        moved = [name for one in producers for name in one.jobs]
        assert sorted(moved) == sorted(names[7:])
        assert [job["jobId"] for _, job in held] == names[:7]
        assert holder.execute("SELECT count(*) FROM overture_outbox").fetchone() == (7,)


def test_a_relay_moves_jobs_to_the_broker(
    database: str, valkey_url: str, outbox: ModuleType
) -> None:
    """As a process of its own, until a signal ends it."""
    with psycopg.connect(database) as connection:
        put(outbox, connection, "job-1", "job-2")
    variables = {
        **environment({"broker_url": valkey_url}),
        "OUTBOX_URL": database,
        "PYTHONPATH": str(PRODUCERS),
    }
    with BrokerClient(valkey_url) as client:
        process = subprocess.Popen([sys.executable, PRODUCERS / "outbox.py"], env=variables)
        try:
            wait_until(lambda: client.waiting(JOBS_QUEUE) == 2, "both are moved")
        finally:
            process.terminate()
        assert process.wait(10) == 0
