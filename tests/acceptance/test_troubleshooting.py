"""docs/troubleshooting.md: what it says of RabbitMQ happens there, and what it advises helps."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.broker_client import BrokerClient
from tests.documents import blocks, read
from tests.jobs import ONE_ACCOUNT
from tests.rabbit_server import RabbitServer
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

TEXT: Final = read("docs/troubleshooting.md")
PLAIN, CORRECT, DELETE = (block.text for block in blocks(TEXT) if block.language == "python")


@pytest.fixture
def host(rabbit_server: RabbitServer) -> Iterator[str]:
    """Give the URL of a virtual host in which nothing was declared yet."""
    rabbit_server.control("add_vhost", "new")
    rabbit_server.control("set_permissions", "-p", "new", "guest", ".*", ".*", ".*")
    yield f"{rabbit_server.url.removesuffix('//')}/new"
    rabbit_server.control("delete_vhost", "new")


def run(program: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run a block of the page on this broker."""
    text = program.replace("amqp://guest:guest@localhost//", url)
    assert text != program
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.xdist_group("rabbitmq")
def test_a_plain_send_task_ends_in_406_and_the_other_one_works(rabbit_url: str) -> None:
    """With the words that somebody who meets the error searches for."""
    with BrokerClient(rabbit_url) as client:
        said = run(PLAIN, rabbit_url)
        assert said.returncode == 1
        assert "PreconditionFailed" in said.stderr
        assert re.search(r"\(406\) PRECONDITION_FAILED - inequivalent arg", said.stderr)
        assert client.waiting() == 0
        assert run(CORRECT, rabbit_url).returncode == 0
        wait_until(lambda: client.waiting() == 1, "the job is on the queue")


@pytest.mark.xdist_group("rabbitmq")
def test_a_queue_that_a_producer_declared_first_is_deleted(
    rabbit_server: RabbitServer, host: str, valkey_url: str
) -> None:
    """A worker says what is wrong with it; once it is gone, a worker starts and takes jobs."""
    assert run(PLAIN, host).returncode == 0
    with SimulatorProcess() as simulator, ExitStack() as stack:
        settings = {**ONE_ACCOUNT, "broker_url": host, "store_url": valkey_url}
        settings["domain_api_url"] = simulator.url
        worker = WorkerProcess(settings)
        with pytest.raises(AssertionError, match="has other arguments: delete it first"):
            stack.enter_context(worker)
        assert run(DELETE, host).returncode == 1  # there is a message in it
        rabbit_server.control("purge_queue", "-p", "new", "conversations.jobs")
        assert run(DELETE, host).returncode == 0
        stack.enter_context(WorkerProcess(settings))
        assert run(CORRECT, host).returncode == 0
        wait_until(lambda: len(simulator.conversations()) == 1, "it was opened")
