"""RabbitMQ users with the rights that the documents list: enough to work, and none too few."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.names import CREATED_KEY
from config.settings import Settings
from console.admin.checks import check_broker
from tests.broker_client import BrokerClient, publish
from tests.jobs import ONE_ACCOUNT, job_document
from tests.overture_command import overture
from tests.rabbit_server import RabbitServer
from tests.rights import PRODUCER, READER, WORKER, rabbitmq_rights
from tests.simulator_process import SimulatorProcess
from tests.worker_process import WorkerProcess
from worker.broker.brokers import broker_at
from worker.finding import Finding

pytestmark = pytest.mark.xdist_group("rabbitmq")


@pytest.fixture
def restricted(rabbit_server: RabbitServer, rabbit_url: str) -> Iterator[str]:
    """Give the URL of a user without rights, on a RabbitMQ where a worker has run."""
    with BrokerClient(rabbit_url):
        rabbit_server.control("add_user", "restricted", "secret")
        yield rabbit_url.replace("guest:guest", "restricted:secret")
        rabbit_server.control("delete_user", "restricted")


def permit(server: RabbitServer, *expressions: str) -> None:
    server.control("set_permissions", "restricted", *expressions)


def fails(url: str) -> list[Finding]:
    found = list(check_broker(broker_at(url), Settings()))
    return [finding for finding in found if finding.verdict != "works"]


def test_a_worker_with_the_listed_rights_works(
    rabbit_server: RabbitServer, restricted: str, rabbit_url: str, valkey_url: str
) -> None:
    """Also one that puts jobs off; and check finds nothing to say."""
    permit(rabbit_server, *rabbitmq_rights(WORKER))
    assert fails(restricted) == []
    with SimulatorProcess() as simulator:
        settings = {
            **ONE_ACCOUNT,
            "broker_url": restricted,
            "store_url": valkey_url,
            "domain_api_url": simulator.url,
        }
        simulator.control("faults", {"consumer": "consumer-1", "fault": "server_error", "times": 1})
        with (
            WorkerProcess({**settings, "retry_schedule": "1"}) as worker,
            BrokerClient(rabbit_url) as client,
        ):
            client.put([job_document(number) for number in range(3)])
            out = client.wait_for(3)
            assert worker.stop() == 0
    assert (len(out.results), out.dead_letters) == (3, [])


@pytest.mark.parametrize("right", ["configure", "write", "read"])
@pytest.mark.parametrize("name", ["conversations.jobs", "celery_delayed_3"])
def test_each_right_that_is_missing_is_named(
    rabbit_server: RabbitServer, restricted: str, right: str, name: str
) -> None:
    """One finding for each exchange or queue of that name."""
    expressions = rabbitmq_rights(WORKER)
    place = ["configure", "write", "read"].index(right)
    but = name.replace(".", "\\.")
    expressions[place] = expressions[place].replace("^", f"^(?!{but}$)")
    permit(rabbit_server, *expressions)
    found = fails(restricted)
    assert found
    for finding in found:
        assert finding.what == "permission"
        assert f"right to {right} the" in finding.text
        assert f" {name}" in finding.text


def test_a_user_without_rights_lacks_all_of_them(
    rabbit_server: RabbitServer, restricted: str
) -> None:
    """What is alike is one finding, however many levels of delay there are."""
    permit(rabbit_server, "^$", "^$", "^$")
    found = fails(restricted)
    assert {finding.what for finding in found} == {"permission"}
    assert len(found) < 20


def test_producers_and_readers_need_little(
    rabbit_server: RabbitServer, restricted: str, rabbit_url: str, valkey_url: str
) -> None:
    """Where a worker has declared what they use."""
    settings = {**ONE_ACCOUNT, "broker_url": restricted, "store_url": valkey_url}
    permit(rabbit_server, *rabbitmq_rights(PRODUCER))
    done = overture("submit", "-", settings=settings, stdin=b'{"jobId": "1", "consumerId": "c"}\n')
    assert done.returncode == 0, done.stderr
    publish(rabbit_url, CREATED_KEY, [b'{"jobId": "1"}'])
    permit(rabbit_server, *rabbitmq_rights(READER))
    done = overture("results", settings=settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{"jobId":"1"}\n'
