"""Two ways in which Celery's own worker stands still on RabbitMQ, and ours does not."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker_client import BrokerClient
from tests.chaos.proxy import Proxy
from tests.jobs import ONE_ACCOUNT, job_document
from tests.rabbit_server import RabbitServer
from tests.simulator_process import SimulatorProcess
from tests.stock_worker import StockWorker
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

# A node of its own: the restarts are for nobody else.
pytestmark = pytest.mark.xdist_group("rabbitmq-stalls")

# A connection that is silent for twice as long is taken for lost.
HEARTBEAT_SECONDS = 2
# The publisher waits 15 s for a confirm, then connects anew.
SILENT_SECONDS = 40.0
CONFIRMING: dict[str, object] = {
    "broker_heartbeat": HEARTBEAT_SECONDS,
    "broker_transport_options": {"confirm_publish": True},
}
# A worker that does not stand still ends much sooner after SIGTERM.
STILL_SECONDS = 8.0


@pytest.fixture
def simulator(simulator: SimulatorProcess) -> SimulatorProcess:
    """Have LivePerson take its time."""
    simulator.control("limits", {"latency": 500})
    return simulator


@pytest.fixture
def settings(simulator: SimulatorProcess, valkey_url: str) -> dict[str, object]:
    """Put the account's limits out of the way; the broker is yet to be named."""
    return {
        "store_url": valkey_url,
        **ONE_ACCOUNT,
        "domain_api_url": simulator.url,
        "trusted_hosts": "127.0.0.1",
        "max_rate": 1000,
        "retry_schedule": "0.2,0.4,0.6",
    }


def amqp_url(proxy: Proxy) -> str:
    return f"amqp://guest:guest@127.0.0.1:{proxy.port}//"


def stands_still(worker: StockWorker, function: str) -> bool:
    """Tell whether the loop stays in a function, and hears of nothing, not even of SIGTERM."""
    wait_until(lambda: worker.loop_is_in(function), f"the loop is in {function}")
    worker.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.process.wait(STILL_SECONDS)
    return worker.loop_is_in(function)


def ends(worker: StockWorker) -> bool:
    """Tell whether SIGTERM ends it in the time that proves another to stand still."""
    worker.process.send_signal(signal.SIGTERM)
    return worker.process.wait(STILL_SECONDS) == 0


def restart_while_busy(server: RabbitServer, worker: StockWorker) -> None:
    """Restart the broker while one of two slots is busy, and enqueue more."""
    worker.enqueue(server.url, [0], seconds=1)
    wait_until(lambda: worker.events.count("start")[0] == 1, "a slot is busy")
    server.restart()
    worker.enqueue(server.url, range(1, 20))


def test_stock_celery_stalls_after_a_restart_of_the_broker(
    rabbit_server: RabbitServer, tmp_path: Path
) -> None:
    """A thread of its pool sets the prefetch count, and the loop loses its own answer to it."""
    with StockWorker(rabbit_server.url, tmp_path) as worker:
        restart_while_busy(rabbit_server, worker)
        wait_until(lambda: worker.events.count("pool-asked"), "a thread of the pool sets it")
        assert stands_still(worker, "basic_qos")
    assert len(worker.events.ended()) < 20


def test_without_the_reduced_prefetch_count_it_does_not(
    rabbit_server: RabbitServer, tmp_path: Path
) -> None:
    """Which is why ours is told not to: nothing is set then but by the loop."""
    unreduced = {"worker_enable_prefetch_count_reduction": False}
    with StockWorker(rabbit_server.url, tmp_path, **unreduced) as worker:
        restart_while_busy(rabbit_server, worker)
        wait_until(lambda: worker.events.ended() == set(range(20)), "every job is done")
        assert ends(worker)
    assert not worker.events.count("pool-asked")


def test_ours_goes_on_after_a_restart_of_the_broker(
    rabbit_server: RabbitServer, settings: dict[str, object], simulator: SimulatorProcess
) -> None:
    """All slots are busy when it goes; every job has one conversation and one outcome."""
    rabbit_server.empty()
    with WorkerProcess({**settings, "broker_url": rabbit_server.url}, concurrency=4) as worker:
        with BrokerClient(rabbit_server.url) as client:
            client.put([job_document(number) for number in range(8)])
            wait_until(lambda: simulator.stats()["total"]["inFlight"] == 4, "all slots are busy")
        rabbit_server.restart()
        with BrokerClient(rabbit_server.url) as client:
            client.put([job_document(number) for number in range(8, 20)])
            out = client.wait_for(20)
        assert worker.stop() == 0
        assert worker.events("worker.stalled") == []
    assert (len(out.by_job()), out.dead_letters) == (20, [])
    assert len(simulator.conversations()) == 20


def test_stock_celery_hangs_on_a_silent_connection(
    rabbit_server: RabbitServer, tmp_path: Path
) -> None:
    """With confirms, the heartbeat event waits for one in the loop, where AMQP's own would beat."""
    with (
        Proxy(rabbit_server.port) as proxy,
        StockWorker(amqp_url(proxy), tmp_path, **CONFIRMING) as worker,
    ):
        worker.enqueue(rabbit_server.url, [0])
        wait_until(lambda: worker.events.ended() == {0}, "the worker is up")
        proxy.half_open()
        worker.enqueue(rabbit_server.url, [1])
        assert stands_still(worker, "basic_publish_confirm")
    assert worker.events.ended() == {0}


def test_without_heartbeat_events_it_does_not(rabbit_server: RabbitServer, tmp_path: Path) -> None:
    """Which is why ours sends none: AMQP's heartbeats tell it of the silence."""
    with (
        Proxy(rabbit_server.port) as proxy,
        StockWorker(amqp_url(proxy), tmp_path, "--without-heartbeat", **CONFIRMING) as worker,
    ):
        worker.enqueue(rabbit_server.url, [0])
        wait_until(lambda: worker.events.ended() == {0}, "the worker is up")
        proxy.half_open()
        worker.enqueue(rabbit_server.url, [1])
        # Both sides notice after two heartbeats; Celery then tries again after ever longer pauses.
        wait_until(
            lambda: worker.events.ended() == {0, 1},
            "the worker connected anew",
            seconds=SILENT_SECONDS,
        )
        assert ends(worker)


@pytest.fixture
def watchful(rabbit_server: RabbitServer, tmp_path: Path) -> Iterator[RabbitServer]:
    """Give a RabbitMQ that wants a heartbeat more often than our workers offer one."""
    del rabbit_server  # it says where there is none
    server = RabbitServer(tmp_path, heartbeat_seconds=HEARTBEAT_SECONDS).start()
    yield server
    server.stop()


def test_ours_goes_on_after_a_silent_connection(
    watchful: RabbitServer, settings: dict[str, object], simulator: SimulatorProcess
) -> None:
    """Its loop hears no heartbeat, its publisher no confirm; both connect anew, and repeat."""
    with (
        Proxy(watchful.port) as proxy,
        BrokerClient(watchful.url) as client,
        WorkerProcess({**settings, "broker_url": amqp_url(proxy)}, concurrency=4) as worker,
    ):
        client.put([job_document(0)])
        client.wait_for(1)
        client.put([job_document(number) for number in range(1, 8)])
        wait_until(lambda: simulator.stats()["total"]["inFlight"] == 4, "all slots are busy")
        proxy.half_open()
        client.put([job_document(number) for number in range(8, 20)])
        out = client.wait_for(20, seconds=SILENT_SECONDS)
        assert worker.events("publisher.retry")
        assert worker.stop() == 0
        assert worker.events("worker.stalled") == []
    assert (len(out.by_job()), out.dead_letters) == (20, [])
    assert len(simulator.conversations()) == 20
