"""What the exporter shows of a pool, and what it does while a server is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from fakeredis import FakeServer
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE
from config.settings import Settings
from console.admin import exporter as exporters
from console.admin.exporter import HELD, Exporter
from console.admin.looking import Looking
from tasks.messages.intake import Received
from tasks.messages.outgoing import rfc3339
from tasks.store.connection import Keys
from tasks.store.limits import set_ceiling
from tasks.store.pulse import GONE_MS, TAKEN, WORKER_PREFIX, WORKERS
from tests.documents import codes, read, rows, section
from tests.jobs import ACCOUNT, ONE_ACCOUNT
from tests.memory_broker import MemoryBroker
from tests.memory_store import memory_store
from worker.broker.base import QueueDepth


class Broker(MemoryBroker):
    """A broker whose queues hold what a test says; without that it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.holding: dict[str, int] | None = {JOBS_QUEUE: 3, DEAD_LETTERS_QUEUE: 2}

    def depths(self, queues: Sequence[str]) -> tuple[list[QueueDepth], int]:
        del queues
        if self.holding is None:
            raise ConnectionRefusedError("nobody is there")
        return [
            QueueDepth(name=name, ready=count, delayed=None, unacked=None)
            for name, count in self.holding.items()
        ], 7


@pytest.fixture
def server() -> FakeServer:
    """Give the store's server."""
    return FakeServer(server_type="valkey")


@pytest.fixture
def store(server: FakeServer) -> Iterator[Redis]:
    """Give the store of a pool that has worked."""
    with memory_store(server) as client:
        set_ceiling(client, ACCOUNT, rate=8, in_flight=20)
        client.hset(Keys(ACCOUNT).counts, mapping={"created": 5, "failed:expired": 1})
        client.sadd(WORKERS, "1-alive", "2-gone")
        client.set(f"{WORKER_PREFIX}1-alive", "", px=GONE_MS)
        yield client


@pytest.fixture
def broker() -> Broker:
    """Give the broker."""
    return Broker()


@pytest.fixture
def exporter(broker: Broker, store: Redis) -> Exporter:
    """Give an exporter of one account."""
    settings = Settings.model_validate(ONE_ACCOUNT)
    return Exporter(broker, store, settings, store_url="redis://store", workers=2)


def scraped(exporter: Exporter) -> dict[str, float]:
    """Scrape: each sample by its name and the values of its labels, in the order of their names."""
    text = exporter.metrics("").body.decode()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_the_pool_shares_is_shown(exporter: Exporter) -> None:
    """Queues, workers, limits, holds and the ledger's counts."""
    found = scraped(exporter)
    assert found[f"overture_queue_messages {JOBS_QUEUE} ready"] == 3
    # This broker tells only of all queues together, as RabbitMQ does.
    assert found[f"overture_queue_messages {JOBS_QUEUE} delayed"] == 7
    assert found[f"overture_queue_messages {DEAD_LETTERS_QUEUE} ready"] == 2
    assert f"overture_queue_messages {DEAD_LETTERS_QUEUE} delayed" not in found
    assert (found["overture_workers"], found["overture_workers_wanted"]) == (1, 2)
    assert found[f"overture_rate_limit {ACCOUNT} ceiling"] == 8
    assert found[f"overture_rate_limit {ACCOUNT} in_force"] == 8
    assert f"overture_rate_limit {ACCOUNT} learned" not in found
    assert found[f"overture_in_flight_limit {ACCOUNT} ceiling"] == 20
    assert found[f"overture_requests_in_flight {ACCOUNT}"] == 0
    assert [found[f"overture_account_held {ACCOUNT} {why}"] for why in HELD] == [0] * len(HELD)
    assert {"pause", "circuit", "credentials"} <= set(HELD)
    assert found[f"overture_ledger_jobs {ACCOUNT}  created"] == 5
    assert found[f"overture_ledger_jobs {ACCOUNT} expired failed"] == 1
    assert (found["overture_server_up broker"], found["overture_server_up store"]) == (1, 1)


def test_a_job_that_nobody_takes_grows_old(exporter: Exporter, store: Redis) -> None:
    """From when it was first seen, or enqueued; of other queues nobody knows."""
    scraped(exporter)
    time.sleep(0.05)
    found = scraped(exporter)
    assert found[f"overture_queue_oldest_seconds {JOBS_QUEUE}"] >= 0.05
    assert f"overture_queue_oldest_seconds {DEAD_LETTERS_QUEUE}" not in found
    store.hincrby(TAKEN, JOBS_QUEUE, 3)
    assert scraped(exporter)[f"overture_queue_oldest_seconds {JOBS_QUEUE}"] < 0.05


def test_it_goes_on_without_the_broker(
    exporter: Exporter, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so, in a metric, in its health and once in the log, and shows the rest."""
    queues, broker.holding = broker.holding, None
    for _ in range(2):
        found = scraped(exporter)
    assert (found["overture_server_up broker"], found["overture_server_up store"]) == (0, 1)
    assert not [name for name in found if name.startswith("overture_queue")]
    assert found["overture_workers"] == 1
    page = exporter.health("")
    assert (page.status, page.body) == (200, b"fine, but away: broker\n")
    broker.holding = queues
    assert scraped(exporter)["overture_server_up broker"] == 1
    assert exporter.health("").body == b"fine\n"
    lines = capsys.readouterr().out
    assert lines.count("exporter.server_away") == 1
    assert lines.count("exporter.server_back") == 1


def test_it_goes_on_without_the_store(exporter: Exporter, server: FakeServer) -> None:
    """What is not known is left out: a number that stands still would be taken for one."""
    scraped(exporter)
    server.connected = False
    found = scraped(exporter)
    assert (found["overture_server_up broker"], found["overture_server_up store"]) == (1, 0)
    assert "overture_workers" not in found
    assert f"overture_rate_limit {ACCOUNT} ceiling" not in found
    assert found[f"overture_queue_messages {JOBS_QUEUE} ready"] == 3


def test_a_server_that_hangs_keeps_no_scrape(
    monkeypatch: pytest.MonkeyPatch, exporter: Exporter, broker: Broker
) -> None:
    """It counts as away, until the look that hangs has ended."""
    goes_on = threading.Event()
    depths = broker.depths

    def hang(queues: Sequence[str]) -> tuple[list[QueueDepth], int]:
        goes_on.wait(10)
        return depths(queues)

    monkeypatch.setattr(exporters, "SCRAPE_SECONDS", 0.1)
    monkeypatch.setattr(broker, "depths", hang)
    assert scraped(exporter)["overture_server_up broker"] == 0
    goes_on.set()
    monkeypatch.setattr(exporters, "SCRAPE_SECONDS", 10)
    assert scraped(exporter)["overture_server_up broker"] == 1


def test_a_look_begins_after_it_was_asked_for() -> None:
    """Whoever asks while another look is under way sees no older state than that of now."""
    began = threading.Event()
    goes_on = threading.Event()
    states = iter([1, 2])

    def look() -> int:
        state = next(states)
        began.set()
        goes_on.wait(10)
        return state

    looking = Looking("store", "redis://store", look)
    found: list[int | None] = []
    first = threading.Thread(target=lambda: found.append(looking.look(seconds=10)))
    first.start()
    began.wait(10)
    second = threading.Thread(target=lambda: found.append(looking.look(seconds=10)))
    second.start()
    time.sleep(0.05)
    goes_on.set()
    first.join(10)
    second.join(10)
    assert sorted(one or 0 for one in found) in ([1, 2], [2, 2])
    assert 2 in found


@pytest.mark.parametrize("looks_only", [True, False])
def test_a_message_that_says_when_it_was_enqueued_is_believed(
    monkeypatch: pytest.MonkeyPatch, exporter: Exporter, broker: Broker, *, looks_only: bool
) -> None:
    """Only where looking takes nothing off the queue."""
    at = rfc3339(datetime.now(UTC) - timedelta(hours=1))

    def look(_: str) -> Generator[Received]:
        headers = {"enqueued-at": at}
        yield Received(body=b"", headers=headers, content_type="", content_encoding="")

    monkeypatch.setattr(type(broker), "looks_only", looks_only)
    monkeypatch.setattr(broker, "look", look)
    found = scraped(exporter)[f"overture_queue_oldest_seconds {JOBS_QUEUE}"]
    assert (found > 3500) is looks_only


def test_every_metric_is_explained(exporter: Exporter, store: Redis) -> None:
    """In the table of docs/monitoring.md, which names no other."""
    del store
    table = rows(section(read("docs/monitoring.md"), "Metrics of the pool"))
    text = exporter.metrics("").body.decode()
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {codes(row[0])[0] for row in table} == families
